"""What holds for every predictor, with random weights; run against the real packages.

A test that needs the predictor NAME looks for its Python in the environment variable
UNSTILL_PREDICTOR_PYTHON_NAME and skips, with the reason, where there is none.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import biotite.structure.info
import numpy as np
import pytest

import unstill.guidance.predictors
from unstill.errors import InputError
from unstill.guidance.guides.dps import DpsOnXt
from unstill.guidance.guides.steering import Steering
from unstill.guidance.levels import karras_levels
from unstill.guidance.observables.distances import Distances
from unstill.guidance.predictors import Molecule, PredictorPrior, PredictorProcess
from unstill.guidance.predictors.failures import MissingWeightsError
from unstill.guidance.samplers import OdeHeun

WORKERS = Path(unstill.guidance.predictors.__file__).parent
RECIPES = Path(__file__).parent
PEPTIDE = Molecule("protein", "MKTAYIWG", ("A", "B"))
GLYCEROL = Molecule("ccd", "GOL", ("L",))
ETHANOL = Molecule("smiles", "CCO", ("M",))


def python_of(name: str) -> Path:
    variable = f"UNSTILL_PREDICTOR_PYTHON_{name.upper()}"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{name}: set {variable} to the Python that it is installed in")
    return Path(python)


def weights_by_recipe(name: str, folder: Path, *arguments: str) -> None:
    """Have the predictor's own package write a small network with random weights."""
    recipe = RECIPES / f"{name}_recipe.py"
    command = [str(python_of(name)), "-I", str(recipe), str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


def start(name: str, **options: str) -> PredictorProcess:
    worker = WORKERS / name / "worker.py"
    return PredictorProcess(
        name, python_of(name), worker, options={"device": "cpu", **options}, timeout=600
    )


def noisy(process: PredictorProcess, n_members: int, spread: float = 10.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = spread * rng.standard_normal((n_members, process.atoms.array_length(), 3))
    return x - x.mean(axis=1, keepdims=True)


def check_atoms(process: PredictorProcess) -> None:
    """Heavy atoms of each residue as the dictionary of components has them, in its order."""
    atoms = process.atoms
    assert list(dict.fromkeys(atoms.chain_id)) == ["A", "B", "L", "M"]
    one = atoms[atoms.chain_id == "A"]
    assert one.res_id.min() == 1
    names = ["MET", "LYS", "THR", "ALA", "TYR", "ILE", "TRP", "GLY"]
    for number, name in enumerate(names, start=1):
        here = one[one.res_id == number]
        assert set(here.res_name) == {name}
        ideal = biotite.structure.info.residue(name)
        heavy = set(ideal.atom_name[ideal.element != "H"])
        assert heavy - {"OXT"} <= set(here.atom_name) <= heavy
        element = dict(zip(ideal.atom_name, ideal.element, strict=True))
        assert [element[atom] for atom in here.atom_name] == here.element.tolist()
    two = atoms[atoms.chain_id == "B"]
    assert two.atom_name.tolist() == one.atom_name.tolist()
    ligand = atoms[atoms.chain_id == "L"]
    assert set(ligand.atom_name) == {"C1", "C2", "C3", "O1", "O2", "O3"}
    assert sorted(atoms.element[atoms.chain_id == "M"].tolist()) == ["C", "C", "O"]
    assert atoms.hetero.tolist() == np.isin(atoms.chain_id, ["L", "M"]).tolist()


def check_silent_network(process: PredictorProcess) -> None:
    """Where the last layer is zero, denoising is a shrinking that is known in ångströms."""
    x = noisy(process, 2)
    for sigma in (0.05, 4.0, 300.0):
        shrink = process.hello.sigma_data**2 / (process.hello.sigma_data**2 + sigma**2)
        np.testing.assert_allclose(process.denoise(x, sigma), shrink * x, atol=2e-5 * 40)


def check_members_are_independent(process: PredictorProcess) -> None:
    x = noisy(process, 3)
    together = process.denoise(x, 3.0)
    data = process.hello.sigma_data**2
    assert np.abs(together - data / (data + 9.0) * x).max() > 0.1, "the network says nothing"
    for member in range(3):
        alone = process.denoise(x[[member]], 3.0)[0]
        np.testing.assert_allclose(alone, together[member], atol=2e-3)


def check_pullback(process: PredictorProcess) -> None:
    """Against differences: in single precision, the mean of several directions."""
    x, rng = noisy(process, 2), np.random.default_rng(1)
    process.denoise(x, 4.0, keep=True)
    gradient = rng.standard_normal(x.shape)
    pulled = process.pullback(gradient)
    found, expected = [], []
    for _ in range(4):
        step = rng.standard_normal(x.shape)
        ahead, behind = (
            process.denoise(x + 0.01 * step, 4.0),
            process.denoise(x - 0.01 * step, 4.0),
        )
        found.append((pulled * step).sum())
        expected.append(((ahead - behind) * gradient).sum() / 0.02)
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())
    with pytest.raises(InputError, match="nothing was kept"):
        process.pullback(gradient)


def check_restart_repeats_every_bit(process: PredictorProcess) -> None:
    x = noisy(process, 2)
    before = process.denoise(x, 2.0)
    process.restart()
    np.testing.assert_array_equal(process.denoise(x, 2.0), before)


def check_guidance_runs(process: PredictorProcess) -> None:
    """Guided denoising is closer to the data, by the gradient through the network."""
    prior = PredictorPrior(process, batch=2)
    pair = np.array([[0, prior.n_atoms - 1]])
    for sigma in (16.0, 4.0, 1.0):
        x = noisy(process, 1)
        free = prior.denoise(x, sigma)
        # Data near enough for the network to be nearly linear on the way.
        apart = np.linalg.norm(free[0, 0] - free[0, -1])
        steering = Steering(Distances(pair, np.array([apart + 1.0]), np.array([0.5])))
        steered = DpsOnXt(prior, steering).denoise(x, sigma)
        before, after = steering.evaluate(free, sigma).loss, steering.evaluate(steered, sigma).loss
        assert after < 0.7 * before, (sigma, before, after)
    start = prior.sample_init(2, 400.0, np.random.default_rng(0))
    sampler = OdeHeun(karras_levels(400.0, 0.05, 3))
    found = sampler.sample(DpsOnXt(prior, steering), start, np.random.default_rng(1))
    assert np.isfinite(found).all()


def check_alignment(process: PredictorProcess, folder: Path) -> None:
    """An alignment changes what is predicted; without it all is as before."""
    msa = folder / "found.a3m"
    msa.write_text(">query\nMKTAYIWG\n>one\nMRTAFIWG\n>two\nM-SAYlVWG\n")
    alone = Molecule("protein", "MKTAYIWG", ("A",))
    process.featurise([alone])
    x = noisy(process, 1)
    first = process.denoise(x, 4.0)
    process.featurise([Molecule("protein", "MKTAYIWG", ("A",), msa)])
    assert abs(process.denoise(x, 4.0) - first).max() > 1e-3
    process.featurise([alone])
    assert (process.denoise(x, 4.0) == first).all()


def check_weights_that_are_not_there(name: str, folder: Path, **options: str) -> None:
    with pytest.raises(MissingWeightsError, match="no file given"):
        start(name, **options)
    with pytest.raises(MissingWeightsError, match="gone"):
        start(name, weights=str(folder / "gone.ckpt"), **options)
    text = folder / "text.ckpt"
    text.write_text("no weights")
    with pytest.raises(MissingWeightsError, match="is no file of weights"):
        start(name, weights=str(text), **options)


def check_ligands_that_are_unknown(process: PredictorProcess) -> None:
    with pytest.raises(InputError, match="SMILES"):
        process.featurise([Molecule("smiles", "C(C", ("L",))])
    with pytest.raises(InputError, match="unknown component"):
        process.featurise([Molecule("ccd", "ZZZZ9", ("L",))])
