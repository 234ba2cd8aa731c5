from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peptides import peptide
from test_side_chain_moves import scene_of

from unstill.diffuse.density import density_of
from unstill.ensembles import Ensemble
from unstill.ensembles.set_occupancies import set_occupancies
from unstill.errors import InputError
from unstill.guidance.moves.closure import CLOSED, close_loop
from unstill.guidance.moves.contacts import ContactFinder
from unstill.guidance.moves.loop_chain import loop_chain
from unstill.guidance.moves.loop_growth import grow
from unstill.guidance.moves.loop_moves import LoopMove, loop_change, loops_in_doubt
from unstill.guidance.moves.loops import propose_loops
from unstill.guidance.moves.probe_grid import ProbeGrid
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import MapFit, Scene
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.io.structure_files import read_structure
from unstill.validation.torsions import torsions as torsions_of

NAMES = ["ALA", "SER", "GLY", "LEU", "PRO", "ALA", "VAL", "GLY", "ALA", "SER"]


def test_a_chain_rebuilt_from_its_torsions_is_the_chain() -> None:
    ensemble = peptide(NAMES)
    graph = ResidueGraph(ensemble)
    loop = loop_chain(graph, ensemble.coord[0], 2, 7)
    torsions, places, gap = close_loop(loop.chain, loop.torsions)
    assert gap < 1e-6
    np.testing.assert_array_equal(torsions, loop.torsions)
    np.testing.assert_allclose(loop.atoms_at(places), ensemble.coord[0, loop.atoms], atol=1e-6)


@given(st.integers(0, 10_000))
def test_disturbed_loops_close_and_keep_their_geometry(seed: int) -> None:
    ensemble = peptide(NAMES, phi=-75.0, psi=-30.0)
    graph = ResidueGraph(ensemble)
    loop = loop_chain(graph, ensemble.coord[0], 2, 7)
    rng = np.random.default_rng(seed)
    start = loop.torsions + rng.normal(0, 0.35, len(loop.torsions)) * loop.chain.mobility
    torsions, places, gap = close_loop(loop.chain, start)
    assert gap <= CLOSED
    np.testing.assert_allclose(places[-3:], loop.chain.target, atol=3 * CLOSED)
    placed = ensemble.coord[0].copy()
    placed[loop.atoms] = loop.atoms_at(places)
    bonds = [
        np.linalg.norm(x[graph.bonds[:, 0]] - x[graph.bonds[:, 1]], axis=1)
        for x in (ensemble.coord[0], placed)
    ]
    np.testing.assert_allclose(bonds[1], bonds[0], atol=2 * CLOSED)
    quads = np.arange(len(torsions))[:, None] + np.arange(4)
    own = np.radians(torsions_of(places[None], quads)[0])
    np.testing.assert_allclose(np.cos(own - torsions), 1.0, atol=1e-6)


def test_a_chain_that_cannot_reach_says_so() -> None:
    ensemble = peptide(NAMES)
    loop = loop_chain(ResidueGraph(ensemble), ensemble.coord[0], 2, 7)
    far = loop.chain._replace(target=loop.chain.target + 100.0)
    assert close_loop(far, loop.torsions)[2] > 50
    nothing = ProbeGrid(np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2, 2)))
    samples = np.zeros((6, 10, 2))
    grown, score = grow(
        far, nothing, loop.torsions, samples, np.random.default_rng(0), width=5, children=4
    )
    assert grown.shape == (0, len(loop.torsions))
    assert score.shape == (0,)


def test_loops_that_are_none_are_refused() -> None:
    ensemble = peptide(NAMES)
    graph = ResidueGraph(ensemble)
    for first, last in ((0, 5), (4, len(NAMES) - 1), (6, 3)):
        with pytest.raises(InputError, match="between two residues"):
            loop_chain(graph, ensemble.coord[0], first, last)
    with pytest.raises(InputError, match="before it begins"):
        LoopMove(graph, loops=[(5, 3)])
    with pytest.raises(InputError, match="no such residue"):
        graph.find("B", 7)


def test_without_data_loops_are_other_closed_loops_without_clashes() -> None:
    ensemble = peptide(NAMES, phi=-75.0, psi=-30.0)
    graph = ResidueGraph(ensemble)
    found = []
    for _ in range(2):
        scene = scene_of(ensemble)
        assert loops_in_doubt(scene, graph) == []
        found.append(
            propose_loops(
                scene, graph, 0, 2, 7, np.random.default_rng(5), width=60, children=30, n_steps=60
            )
        )
        np.testing.assert_array_equal(scene.coord, ensemble.coord)
    np.testing.assert_array_equal(found[0].coord, found[1].coord)
    assert len(found[0].coord) >= 2
    assert np.abs(found[0].coord - ensemble.coord[0, found[0].atoms]).max() > 1.0
    for place in found[0].coord:
        placed = ensemble.coord[0].copy()
        placed[found[0].atoms] = place
        before, after = (
            np.linalg.norm(x[graph.bonds[:, 0]] - x[graph.bonds[:, 1]], axis=1)
            for x in (ensemble.coord[0], placed)
        )
        np.testing.assert_allclose(after, before, atol=0.05)


def two_states(path: Path) -> tuple[Ensemble, np.ndarray, Ensemble]:
    """Altloc A as the whole model, coordinates of altloc B for its atoms, and the 50/50 model."""
    ensemble = read_structure(path)
    label = np.char.strip(np.asarray(ensemble.atoms.altloc_id, dtype=str))
    both = set_occupancies(ensemble, {"A": 0.5, "B": 0.5})
    a = ensemble.select(np.isin(label, ["", "A"]))
    a = a.replace(occupancy=np.ones(a.n_atoms), u_aniso=None)

    def keys(e: Ensemble) -> list[tuple[str, int, str]]:
        return list(
            zip(
                e.atoms.chain_id.tolist(),
                e.atoms.res_id.tolist(),
                e.atoms.atom_name.tolist(),
                strict=True,
            )
        )

    other = {
        key: place
        for key, place, mine in zip(keys(ensemble), ensemble.coord[0], label, strict=True)
        if mine == "B"
    }
    b = np.array([other.get(key, place) for key, place in zip(keys(a), a.coord[0], strict=True)])
    return a, b, both


@pytest.mark.parametrize(
    ("name", "d_min", "loop", "segment"),
    [
        ("6b8x.pdb", 1.74, (178, 187), (180, 184)),
        ("1vme_0.5A_0.5B.cif", 1.8, (326, 339), (326, 339)),
    ],
)
def test_the_other_state_of_a_loop_is_found_in_a_map_of_both(
    unstill_data: Path, name: str, d_min: float, loop: tuple[int, int], segment: tuple[int, int]
) -> None:
    a, b, both = two_states(unstill_data / "altloc" / name)
    target = density_of(both, d_min)
    graph = ResidueGraph(a)
    data = DensityObservable(target, d_min, a.element, sigma=0.1 * float(target.values.std()))
    coord = np.repeat(a.coord.astype(float), 2, axis=0)
    state = EnsembleState(coord, np.full(2, 0.5), a.b_factor)
    scene = Scene(state, ContactFinder(graph, a.crystal), MapFit(data, d_min))
    first, last = (graph.find("A", number) for number in loop)
    found = propose_loops(
        scene, graph, 0, first, last, np.random.default_rng(0), n_candidates=4, width=400
    )
    np.testing.assert_array_equal(scene.coord, coord)
    main = np.isin(graph.atom_name[found.atoms], ["N", "CA", "C", "O"])
    main &= np.isin(graph.res_id[found.atoms], np.arange(segment[0], segment[1] + 1))
    apart = np.sqrt(((found.coord - b[found.atoms])[:, main] ** 2).sum(-1).mean(-1))
    assert apart.min() <= 1.2
    assert apart[0] <= 1.5
    assert loop_change(scene, found.atoms, 1, found.coord[0]) < 0


def test_loops_in_doubt_are_those_that_differ_and_members_share_them_out(
    unstill_data: Path,
) -> None:
    a, _, both = two_states(unstill_data / "altloc" / "1vme_0.5A_0.5B.cif")
    target = density_of(both, 2.2)
    graph = ResidueGraph(a)
    data = DensityObservable(target, 2.2, a.element, sigma=0.1 * float(target.values.std()))
    state = EnsembleState(
        np.repeat(a.coord.astype(float), 4, axis=0), np.full(4, 0.25), a.b_factor
    )
    scene = Scene(state, ContactFinder(graph, a.crystal), MapFit(data, 2.2))
    loops = loops_in_doubt(scene, graph)
    numbers = {
        int(graph.res_id[graph.residues[n]["CA"]])
        for first, last in loops
        for n in range(first, last + 1)
    }
    assert {330, 331, 332} <= numbers
    before = data.value_and_grad(scene.now(), 2.2).loss
    tally = LoopMove(graph, most=2).apply(scene, np.random.default_rng(1))
    assert 0 < tally.taken < tally.tried
    after = data.value_and_grad(scene.now(), 2.2).loss
    assert after - before == pytest.approx(tally.energy, rel=0.25)
    assert after < 0.9 * before
