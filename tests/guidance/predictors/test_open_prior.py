"""A predictor as the prior of a model: whose atom is whose, in whose frame, and who has none."""

from __future__ import annotations

import sys
from pathlib import Path

import biotite.structure as bst
import numpy as np
import pytest
import scipy.spatial.transform
from folding_worker import places

from unstill.errors import InputError
from unstill.guidance.guides.dps import DpsOnXt
from unstill.guidance.guides.steering import Steering
from unstill.guidance.levels import karras_levels
from unstill.guidance.observables.distances import Distances
from unstill.guidance.predictors import ModelPrior, cards, open_prior, opening
from unstill.guidance.predictors.contents import read_contents
from unstill.guidance.predictors.failures import MissingWeightsError, PredictorDiedError
from unstill.guidance.protocols import Differentiable, Prior
from unstill.guidance.samplers import OdeHeun

HERE = Path(__file__).parent
TURN = scipy.spatial.transform.Rotation.from_euler("xyz", [40, -70, 110], degrees=True).as_matrix()
SHIFT = np.array([30.0, -12.0, 55.0])
BACKBONE = [("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O")]
SERINE = [*BACKBONE, ("CB", "C"), ("OG", "O")]
SELENIUM = [*BACKBONE, ("CB", "C"), ("CG", "C"), ("SE", "SE"), ("CE", "C")]
PHOSPHATE = [*SERINE, ("P", "P"), ("O1P", "O")]
GLYCEROL = [("C1", "C"), ("O1", "O"), ("C2", "C"), ("O2", "O"), ("C3", "C"), ("O3", "O")]


def model(*residues: tuple[str, int, str, list[tuple[str, str]]], ins: str = "") -> bst.AtomArray:
    made = []
    for chain, number, name, atoms in residues:
        for atom, element in atoms:
            made.append(
                bst.Atom(
                    np.zeros(3),
                    chain_id=chain,
                    res_id=number,
                    res_name=name,
                    atom_name=atom,
                    element=element,
                )
            )
    array = bst.array(made)
    # Some structure or other; tests of the frame put the atoms where the predictor has them.
    array.coord = (places(len(array)) @ TURN.T + SHIFT).astype(np.float32)
    return array


@pytest.fixture(autouse=True)
def folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The predictor `folding` is installed."""
    card = cards.Card(
        name="folding",
        title="Folding",
        role="prior",
        licence="MIT",
        source="https://example.org",
        requirements=(),
        bare=(),
        module="numpy",
        python=("3.11", "3.99"),
        megabytes=0,
        weights="folding.pt",
        extra_files={},
        options={},
        worker=HERE / "folding_worker.py",
    )
    monkeypatch.setattr(opening, "find_card", lambda name: card)
    monkeypatch.setenv("UNSTILL_PREDICTOR_PYTHON_FOLDING", sys.executable)


def paired(prior: ModelPrior, atoms: bst.AtomArray) -> list[str]:
    predicted = prior._prior.atoms
    return [
        f"{atoms.chain_id[i]}{atoms.res_id[i]}{atoms.ins_code[i]}{atoms.atom_name[i]}"
        f"={predicted.chain_id[j]}{predicted.res_id[j]}{predicted.atom_name[j]}"
        for i, j in zip(prior.pairs.model, prior.pairs.predictor, strict=True)
    ]


def test_numbers_chains_and_ligands_are_the_models() -> None:
    atoms = model(
        ("Heavy", 101, "GLY", BACKBONE),
        ("Heavy", 102, "SER", SERINE),
        ("Heavy", 900, "HOH", [("O", "O")]),
        ("Light", 7, "GLY", BACKBONE),
        ("Light", 8, "SER", SERINE),
        ("Light", 301, "GOL", GLYCEROL),
        ("Light", 302, "ZN", [("ZN", "ZN")]),
    )
    with open_prior("folding", atoms) as prior:
        assert isinstance(prior, Prior)
        assert isinstance(prior, Differentiable)
        assert prior.n_atoms == 10 + 10 + 6 + 1
        names = paired(prior, atoms)
        np.testing.assert_array_equal(prior.atoms.coord, atoms.coord[prior.index])
        notes = prior.notes
    assert names[:5] == ["Heavy101N=A1N", "Heavy101CA=A1CA", "Heavy101C=A1C", "Heavy101O=A1O",
                         "Heavy102N=A2N"]  # fmt: skip
    assert names[10:12] == ["Light7N=B1N", "Light7CA=B1CA"]
    assert names[20] == "Light301C1=C7C1"
    assert names[-1] == "Light302ZN=D7ZN"
    assert notes == (
        "1 atoms of water are not predicted",
        "OXT of Heavy 102 SER, Light 8 SER: predicted, not in the model",
    )


def test_modified_residues_are_mapped_and_what_is_left_is_named() -> None:
    atoms = model(
        ("A", 1, "MSE", SELENIUM),
        ("A", 2, "SEP", PHOSPHATE),
        ("A", 3, "GLY", [*BACKBONE, ("HA2", "H")]),
        ("A", 400, "UNL", [("C1", "C")]),
    )
    contents = read_contents(atoms)
    assert [(m.kind, m.sequence) for m in contents.molecules] == [("protein", "MSG")]
    with open_prior("folding", atoms) as prior:
        assert "A1SE=A1SD" in paired(prior, atoms)
        assert prior.notes == (
            "1 hydrogens are not predicted",
            "A 2 SEP, which is predicted as SER: P, O1P not predicted",
            "A 400 UNL, which the dictionary of components does not know: C1 not predicted",
            "OXT of A 3 GLY: predicted, not in the model",
        )
        assert prior.n_atoms == 8 + 6 + 4


def test_gaps_and_insertion_codes_find_their_places_in_the_whole_sequence() -> None:
    gap = model(*[("A", n, "SER" if n % 2 else "GLY", SERINE if n % 2 else BACKBONE)
                  for n in (11, 12, 16, 17)])  # fmt: skip
    with open_prior("folding", gap, sequences={"A": "AASGSGSGSM"}) as prior:
        assert paired(prior, gap)[0] == "A11N=A3N"
        assert paired(prior, gap)[-1] == "A17OG=A9OG"
        assert "chain A, places 1-2, 5-7, 10 of its sequence: predicted, not in the model" in (
            prior.notes
        )
    inserted = model(*[("H", n, "SER" if n % 2 else "GLY", SERINE if n % 2 else BACKBONE)
                       for n in (51, 52, 53, 54)])  # fmt: skip
    inserted.res_id[inserted.res_id > 52] -= 1
    inserted.ins_code[np.nonzero(inserted.res_id == 52)[0][4:]] = "A"
    with open_prior("folding", inserted, sequences={"H": "MSGSGM"}) as prior:
        assert [name.split("=")[1] for name in paired(prior, inserted)[::5]] == [
            "A2N", "A2OG", "A4N", "A4OG"]  # fmt: skip


def test_nucleic_acids_and_old_names_are_understood() -> None:
    old = [("P", "P"), ("O1P", "O"), ("O2P", "O"), ("C1*", "C"), ("N9", "N")]
    atoms = model(("D", 1, "DA", old), ("D", 2, "DG", old))
    assert read_contents(atoms).molecules[0].kind == "dna"
    with open_prior("folding", atoms) as prior:
        assert prior.n_atoms == 10
        assert prior.notes == ()


def test_a_model_that_cannot_be_mapped_is_refused_with_the_reason() -> None:
    peptide = model(("A", 1, "GLY", BACKBONE), ("A", 2, "SER", SERINE))
    with pytest.raises(InputError, match="twice; found A 2 SER OG"):
        read_contents(peptide[[*range(10), 9]])
    with pytest.raises(InputError, match="does not hold the residues"):
        read_contents(peptide, sequences={"A": "AAAA"})
    with pytest.raises(InputError, match="found B"):
        read_contents(peptide, sequences={"B": "GS"})
    with pytest.raises(InputError, match="nothing in this model"):
        read_contents(model(("W", 1, "HOH", [("O", "O")])))
    with pytest.raises(MissingWeightsError, match=r"folding\.pt"):
        open_prior("folding", peptide, weights=Path("/no/such.pt")).__enter__()


def in_its_frame(n_residues: int = 6) -> bst.AtomArray:
    """A model that is what the predictor predicts, without its OXT, turned and shifted."""
    atoms = model(*[("A", n + 1, "SER", SERINE) for n in range(n_residues)])
    atoms.coord = (places(len(atoms) + 1)[:-1] @ TURN.T + SHIFT).astype(np.float32)
    return atoms


def test_what_is_predicted_stands_on_the_model() -> None:
    atoms = in_its_frame()
    rng = np.random.default_rng(0)
    with open_prior("folding", atoms) as prior:
        x = prior.sample_init(3, 2560.0, rng)
        assert x.std() == pytest.approx(2560, rel=0.1)
        np.testing.assert_allclose(
            prior.denoise(x, 2560.0), np.broadcast_to(atoms.coord, x.shape), atol=2e-3
        )
    with open_prior("folding", atoms, superpose=False) as prior:
        centred = prior.denoise(x, 2560.0) - x.mean(axis=1, keepdims=True)
        assert np.abs(centred - (atoms.coord - SHIFT)).max() > 5


def test_a_sampler_ends_at_the_model_whatever_the_noise() -> None:
    atoms = in_its_frame()
    levels = karras_levels(160.0, 0.01, 20)
    with open_prior("folding", atoms, options={"turns": "yes"}) as prior:
        start = prior.sample_init(4, 160.0, np.random.default_rng(1))
        found = OdeHeun(levels).sample(prior, start, np.random.default_rng(2))
    apart = np.sqrt(((found - atoms.coord) ** 2).sum(axis=2).mean(axis=1))
    # Its structures have a width of 0.5 A along each axis.
    assert (apart < 1.5).all()
    assert apart.max() > 0.05


def test_pullback_is_the_transposed_jacobian_with_the_frame_held() -> None:
    atoms = in_its_frame()
    rng = np.random.default_rng(4)
    with open_prior("folding", atoms) as prior:
        x = atoms.coord + 0.3 * rng.standard_normal((2, len(atoms), 3))
        gradient = rng.standard_normal(x.shape)
        prior.denoise(x, 0.4)
        assert prior._turns is not None
        turns = prior._turns[2]
        pulled = prior.pullback(x, 0.4, gradient)
        for seed in range(3):
            step = np.random.default_rng(seed).standard_normal(x.shape)
            whole = np.zeros((2, len(atoms) + 1, 3))
            whole[:, :-1] = step
            gain = 0.5**2 / (0.5**2 + 0.4**2)
            centre = whole.mean(axis=1, keepdims=True)
            moved = ((whole - centre) * gain + centre)[:, :-1]
            moved = (moved - moved.mean(axis=1, keepdims=True)) @ turns.transpose(0, 2, 1)
            np.testing.assert_allclose((pulled * step).sum(), (moved * gradient).sum(), rtol=1e-9)
        np.testing.assert_array_equal(prior.pullback(x, 0.4, gradient), pulled)


def test_guidance_goes_through_it() -> None:
    atoms = in_its_frame()
    pair = np.array([[0, len(atoms) - 1]])
    apart = np.linalg.norm(atoms.coord[0] - atoms.coord[-1])
    data = Distances(pair, np.array([apart + 0.8]), np.array([0.2]))
    levels = karras_levels(160.0, 0.01, 20)

    def mean_distance(prior: ModelPrior, *, guided: bool) -> float:
        denoiser = DpsOnXt(prior, Steering(data)) if guided else prior
        x = prior.sample_init(6, 160.0, np.random.default_rng(1))
        found = OdeHeun(levels).sample(denoiser, x, np.random.default_rng(2))
        return float(np.linalg.norm(found[:, 0] - found[:, -1], axis=1).mean())

    with open_prior("folding", atoms) as prior:
        free, again = (mean_distance(prior, guided=False) for _ in range(2))
        steered = mean_distance(prior, guided=True)
    assert free == again
    assert steered > free + 0.2


def test_carried_atoms_follow_the_flow_of_probability() -> None:
    """An atom that the model lacks ends where the predictor has it, as if it were sampled."""
    atoms = in_its_frame()
    with open_prior("folding", atoms, options={"turns": "yes"}) as prior:
        x = prior.sample_init(2, 160.0, np.random.default_rng(3))
        OdeHeun(karras_levels(160.0, 0.01, 30)).sample(prior, x, np.random.default_rng(0))
        assert prior._hidden is not None
        found = prior._hidden.clean[:, 0]
    expected = places(len(atoms) + 1)[-1] @ TURN.T + SHIFT
    assert (np.linalg.norm(found - expected, axis=1) < 2.5).all()


def test_it_begins_anywhere_without_sample_init() -> None:
    atoms = in_its_frame()
    rng = np.random.default_rng(5)
    with open_prior("folding", atoms, options={"turns": "yes"}) as prior:
        x = atoms.coord + 0.5 * rng.standard_normal((1, len(atoms), 3))
        assert np.abs(prior.denoise(x, 0.5) - atoms.coord).max() < 2.0
        assert prior.denoise(np.repeat(x, 3, axis=0), 0.3).shape == (3, len(atoms), 3)
        with pytest.raises(InputError, match=f"give \\(n_members, {len(atoms)}, 3\\)"):
            prior.denoise(x[:, :-1], 0.5)


def test_a_predictor_that_ends_at_once_is_told_and_leaves_no_process(tmp_path: Path) -> None:
    with pytest.raises(PredictorDiedError, match="exit code 5"):
        open_prior("folding", in_its_frame(), options={"weights": "/broken"}).__enter__()


def test_a_ligand_that_a_predictor_drops_is_named() -> None:
    atoms = model(("A", 1, "GLY", BACKBONE), ("A", 2, "SER", SERINE), ("A", 9, "GOL", GLYCEROL))
    with pytest.raises(InputError, match="left molecules out; found ccd GOL"):
        open_prior("folding", atoms, options={"drops": "GOL"}).__enter__()


def test_a_packer_is_no_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_card", cards.find_card)
    with pytest.raises(InputError, match="packer is no prior"):
        open_prior("ligandmpnn", in_its_frame()).__enter__()
