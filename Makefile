# Two commands for everybody: `make demo` and `make test`. They need Python >= 3.11, make and a
# package index; everything else they set up in .venv.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
OUT ?= unstill-demo
PREDICTORS ?= build/predictors
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-predictors check lint types layers docs bench soak fix install-size clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/core.stamp ## the main job on the embedded data, with a report
	$(BIN)/unstill demo -o $(OUT)

test: .venv/test.stamp ## the default test suite
	$(BIN)/pytest -n auto -m "not soak and not gpu"

test-predictors: .venv/test.stamp ## install each structure predictor (2 GB each) and test it; NAMES="boltz2 rf3"
	UNSTILL_PREDICTORS=$(abspath $(PREDICTORS)) $(BIN)/python tests/predictors_real/run_all.py $(NAMES)

check: lint types layers docs ## ruff, mypy --strict, import-linter, docs build

lint: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/dev.stamp
	$(BIN)/mypy

layers: .venv/dev.stamp
	$(BIN)/lint-imports

docs: .venv/dev.stamp ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: .venv/test.stamp ## speed, ours beside the references
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

soak: .venv/test.stamp ## long randomised runs
	UNSTILL_HYPOTHESIS=soak $(BIN)/pytest -n auto -m "not gpu"

fix: .venv/dev.stamp ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

install-size: ## time and size of a fresh `pip install .`, then the demo in it
	benchmarks/install_size.sh $(PYTHON)

clean: ## remove everything that make made
	rm -rf .venv build docs/_build $(OUT)

.venv/core.stamp: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 found; install one, or give PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --editable .
	@touch $@

.venv/test.stamp: .venv/core.stamp
	$(PIP) install --group test
	@touch $@

.venv/dev.stamp: .venv/test.stamp
	$(PIP) install --group dev
	@touch $@
