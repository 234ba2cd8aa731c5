from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peptides import map_of, peptide, residue

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.guidance.moves.contacts import ContactFinder
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import MapFit, Scene
from unstill.guidance.moves.side_chains import RotamerMove, side_chain_units
from unstill.guidance.moves.turns import Proposals, Turn, Unit, turn_table
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.validation.rotamers import side_chain_torsions
from unstill.validation.torsions import torsions


def scene_of(ensemble: Ensemble, n_members: int = 1, fit: MapFit | None = None) -> Scene:
    graph = ResidueGraph(ensemble)
    coord = np.repeat(ensemble.coord, n_members, axis=0)
    state = EnsembleState(coord, np.full(n_members, 1 / n_members), ensemble.b_factor)
    return Scene(state, ContactFinder(graph), fit)


@pytest.mark.parametrize(
    ("name", "n_chi"),
    [
        *[("ALA", 0), ("GLY", 0), ("PRO", 0), ("SER", 1), ("VAL", 1), ("TRP", 2), ("PHE", 2)],
        *[("HIS", 2), ("ASP", 2), ("LEU", 2), ("ILE", 2), ("GLN", 3), ("MET", 3), ("MSE", 3)],
        *[("ARG", 4), ("LYS", 4), ("SEP", 3)],
    ],
)
def test_torsions_are_those_of_the_residue(name: str, n_chi: int) -> None:
    units = side_chain_units(ResidueGraph(residue(name))).units
    found = units[0].turns if units else ()
    assert len(found) == n_chi


@given(
    st.sampled_from(["LEU", "MSE", "ARG", "TRP", "GLN"]),
    st.lists(st.floats(-180, 180), min_size=4, max_size=4),
)
def test_turns_change_their_torsion_and_no_bond_or_angle(name: str, angles: list[float]) -> None:
    ensemble = residue(name)
    graph = ResidueGraph(ensemble)
    unit = side_chain_units(graph).units[0]
    scene = scene_of(ensemble)
    number = len(unit.turns)
    wanted = np.zeros((1, 4))
    wanted[0, :number] = np.radians(angles[:number])
    # log u = −∞: whatever it costs.
    sure = Proposals(np.zeros(1, int), np.zeros(1, int), wanted, np.array([-np.inf]))
    scene.run(turn_table([unit]), sure)
    quads = np.array([turn.torsion for turn in unit.turns])
    change = torsions(scene.coord, quads)[0] - torsions(ensemble.coord, quads)[0]
    off = (change - np.array(angles[:number]) + 180) % 360 - 180
    np.testing.assert_allclose(off, 0, atol=1e-4)
    # Atoms one or two bonds apart keep their distance, so that bonds and angles are kept.
    near = _within_two_bonds(graph)
    before, after = (
        np.linalg.norm(x[0][near[:, 0]] - x[0][near[:, 1]], axis=1)
        for x in (ensemble.coord, scene.coord)
    )
    np.testing.assert_allclose(after, before, atol=1e-9)


def _within_two_bonds(graph: ResidueGraph) -> np.ndarray:
    pairs = {tuple(bond) for bond in graph.bonds.tolist()}
    for around in graph.neighbours:
        pairs |= {(one, other) for one in around for other in around if one < other}
    return np.array(sorted(pairs))


def test_populations_of_wells_are_those_of_their_energy() -> None:
    ensemble = residue("VAL")
    graph = ResidueGraph(ensemble)
    turn = side_chain_units(graph).units[0].turns[0]
    names = {str(n): i for i, n in enumerate(ensemble.atoms.atom_name)}
    spring = (names["CG1"], names["O"], 3.0, 3.0)
    unit = Unit((replace(turn, barrier=1.0),), springs=(spring,))
    move = RotamerMove(graph, tries=40_000, noise=30.0)
    scene = scene_of(ensemble)
    drawn = move.propose(1, np.random.default_rng(4))
    angles = []
    for part in np.array_split(np.arange(40_000), 4000):
        scene.run(turn_table([unit]), Proposals(*(values[part] for values in drawn)))
        angles.append(torsions(scene.coord, np.array([turn.torsion]))[0, 0])
    # The exact populations, by turning in small steps and adding up exp(−E).
    grid = np.arange(0.0, 360.0, 1.0)
    energies = _energies(ensemble, unit, grid)
    start = torsions(ensemble.coord, np.array([turn.torsion]))[0, 0]
    odds = np.exp(-(energies - energies.min()))
    wells = ((grid + start) % 360 // 120).astype(int)
    expected = np.bincount(wells, odds, minlength=3) / odds.sum()
    found = np.bincount((np.array(angles) % 360 // 120).astype(int), minlength=3) / len(angles)
    assert np.ptp(expected) > 0.2
    np.testing.assert_allclose(found, expected, atol=0.03)


def _energies(ensemble: Ensemble, unit: Unit, degrees: np.ndarray) -> np.ndarray:
    """Energy after a turn from the start, relative to the start."""
    found = []
    for angle in np.radians(degrees):
        scene = scene_of(ensemble)
        turn = np.zeros((1, 4))
        turn[0, 0] = angle
        sure = Proposals(np.zeros(1, int), np.zeros(1, int), turn, np.array([-np.inf]))
        found.append(scene.run(turn_table([unit]), sure).energy)
    return np.array(found)


def two_rotamers(name: str) -> tuple[Ensemble, np.ndarray]:
    """A residue in an extended chain, and its places in two rotamers."""
    ensemble = residue(name)
    unit = side_chain_units(ResidueGraph(ensemble)).units[0]
    scene = scene_of(ensemble)
    turn = np.zeros((1, 4))
    turn[0, :2] = np.radians([120.0, -115.0])
    sure = Proposals(np.zeros(1, int), np.zeros(1, int), turn, np.array([-np.inf]))
    scene.run(turn_table([unit]), sure)
    return ensemble, np.concatenate([ensemble.coord, scene.coord])


@pytest.mark.parametrize("name", ["LEU", "MSE", "GLU"])
def test_the_second_rotamer_of_a_map_is_found(name: str) -> None:
    ensemble, states = two_rotamers(name)
    target = map_of(ensemble, states, np.array([0.5, 0.5]), 1.8)
    data = DensityObservable(target, 1.8, ensemble.element, sigma=0.1, fit_scale=False)
    move = RotamerMove(ResidueGraph(ensemble))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scene = scene_of(ensemble, 2, MapFit(data, 1.8))
        for _ in range(40):
            move.apply(scene, rng)
            scene.refresh()
        apart = np.sqrt(((scene.coord[:, None] - states) ** 2).sum(-1).mean(-1))
        assert apart.min(axis=0).max() < 0.5
        assert data.correlation(scene.now(), 1.8) > 0.97


def test_the_same_seed_gives_the_same_bits() -> None:
    ensemble = peptide(["ALA", "LEU", "ARG", "SER"])
    move = RotamerMove(ResidueGraph(ensemble))
    found = []
    for seed in (1, 1, 2):
        scene = scene_of(ensemble, 3)
        tally = move.apply(scene, np.random.default_rng(seed))
        assert 0 < tally.taken < tally.tried
        found.append(scene.coord)
    np.testing.assert_array_equal(found[0], found[1])
    assert np.any(found[0] != found[2])


def test_turns_measure_the_chi_angles_that_validation_names() -> None:
    ensemble = residue("ARG")
    unit = side_chain_units(ResidueGraph(ensemble)).units[0]
    own = torsions(ensemble.coord, np.array([turn.torsion for turn in unit.turns]))
    np.testing.assert_allclose(own[0], side_chain_torsions(ensemble).chi[0, 0], atol=1e-6)


def test_residues_with_two_places_and_empty_rounds_are_refused() -> None:
    ensemble = residue("SER")
    atoms = ensemble.atoms + ensemble.atoms
    atoms.set_annotation("altloc_id", np.repeat(["A", "B"], ensemble.n_atoms))
    twice = Ensemble(atoms, np.tile(ensemble.coord, (1, 2, 1)))
    with pytest.raises(InputError, match="more than one alternate location"):
        ResidueGraph(twice)
    with pytest.raises(InputError, match="a try or more"):
        RotamerMove(ResidueGraph(ensemble), tries=0)


def test_one_turn_named_by_hand_is_a_unit() -> None:
    unit = Unit((Turn((0, 1), (3, 2)), Turn((1, 2), (3,))))
    assert unit.atoms == (2, 3)
