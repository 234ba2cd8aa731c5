"""RosettaFold-3 itself, with a network of one block and random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import real_predictor as real

from unstill.errors import InputError
from unstill.guidance.predictors import Molecule, PredictorProcess
from unstill.guidance.predictors.failures import MissingWeightsError

NAME = "rf3"
MOLECULES = [real.PEPTIDE, real.GLYCEROL, real.ETHANOL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp(NAME)
    real.weights_by_recipe(NAME, made)
    return made


def started(folder: Path, weights: str) -> PredictorProcess:
    return real.start(NAME, weights=str(folder / weights), recycles="1")


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[PredictorProcess]:
    with started(folder, "random.ckpt") as running:
        running.featurise(MOLECULES)
        yield running


def test_atoms(process: PredictorProcess) -> None:
    assert process.hello.version == "0.2.0"
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
    with pytest.raises(InputError, match="not for dna"):
        process.featurise([Molecule("dna", "ACGT", ("D",), tmp_path / "found.a3m")])


def test_a_silent_network_and_unknown_ligands(folder: Path) -> None:
    with started(folder, "silent.ckpt") as silent:
        silent.featurise([*MOLECULES, Molecule("rna", "ACGU", ("R",))])
        real.check_silent_network(silent)
        real.check_ligands_that_are_unknown(silent)


def test_weights(folder: Path, tmp_path: Path) -> None:
    real.check_weights_that_are_not_there(NAME, tmp_path)
    with pytest.raises(MissingWeightsError, match="of another network"):
        real.start(NAME, weights=str(folder / "other.ckpt"))
