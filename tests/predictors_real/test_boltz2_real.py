"""Boltz-2 itself, with a small network and random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import real_predictor as real
from components import write_components

from unstill.errors import InputError
from unstill.guidance.predictors import Molecule, PredictorProcess
from unstill.guidance.predictors.failures import MissingWeightsError

NAME = "boltz2"
MOLECULES = [real.PEPTIDE, real.GLYCEROL, real.ETHANOL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    real.python_of(NAME)
    made = tmp_path_factory.mktemp(NAME)
    write_components(made / "components.json")
    real.weights_by_recipe(NAME, made, str(made / "components.json"))
    return made


def started(folder: Path, weights: str, **options: str) -> PredictorProcess:
    return real.start(
        NAME,
        weights=str(folder / weights),
        molecules=str(folder / "mols"),
        settings=str(folder / "settings.json"),
        **options,
    )


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[PredictorProcess]:
    with started(folder, "random.ckpt") as running:
        running.featurise(MOLECULES)
        yield running


def test_atoms(process: PredictorProcess) -> None:
    assert process.hello.version == "2.2.1"
    real.check_atoms(process)


def test_denoising(process: PredictorProcess) -> None:
    real.check_members_are_independent(process)
    real.check_pullback(process)


def test_guidance(process: PredictorProcess) -> None:
    real.check_guidance_runs(process)


def test_restart(process: PredictorProcess) -> None:
    real.check_restart_repeats_every_bit(process)


def test_an_alignment_changes_what_is_predicted(process: PredictorProcess, tmp_path: Path) -> None:
    real.check_alignment(process, tmp_path)
    with pytest.raises(InputError, match="for proteins, not for rna"):
        process.featurise([Molecule("rna", "ACGU", ("R",), tmp_path / "found.a3m")])


def test_a_silent_network_unknown_ligands_and_methods(folder: Path) -> None:
    with started(folder, "silent.ckpt", method="x-ray diffraction") as silent:
        silent.featurise([*MOLECULES, Molecule("rna", "ACGU", ("R",))])
        real.check_silent_network(silent)
        real.check_ligands_that_are_unknown(silent)
    with pytest.raises(InputError, match="known are md, x-ray diffraction"):
        started(folder, "silent.ckpt", method="neutrinos")


def test_weights(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"mols\.tar"):
        real.start(NAME, weights=str(folder / "random.ckpt"))
    real.check_weights_that_are_not_there(NAME, tmp_path, molecules=str(folder / "mols"))
    other = {"weights": str(folder / "random.ckpt"), "molecules": str(folder / "mols")}
    with pytest.raises(MissingWeightsError, match="of another network"):
        real.start(NAME, **other)
