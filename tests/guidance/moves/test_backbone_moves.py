from __future__ import annotations

import numpy as np
import pytest
from peptides import BOX, map_of, peptide
from test_side_chain_moves import scene_of

from unstill.errors import InputError
from unstill.guidance.moves.backbone import BackrubMove, PeptideFlipMove
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import MapFit
from unstill.guidance.moves.turns import Proposals, turn_table
from unstill.guidance.observables.density import DensityObservable
from unstill.validation.torsions import backbone_torsions

NAMES = ["ALA", "SER", "GLY", "LEU", "PRO", "ALA", "VAL", "GLY", "ALA"]


def _bonds(graph: ResidueGraph, coord: np.ndarray) -> np.ndarray:
    return np.linalg.norm(coord[graph.bonds[:, 0]] - coord[graph.bonds[:, 1]], axis=1)


@pytest.mark.parametrize("kind", [BackrubMove, PeptideFlipMove])
def test_moves_of_the_backbone_keep_bonds_and_planes(kind: type) -> None:
    ensemble = peptide(NAMES)
    graph = ResidueGraph(ensemble)
    move = kind(graph)
    drawn = move.propose(1, np.random.default_rng(0))
    scene = scene_of(ensemble)
    # log u = −∞: whatever it costs.
    scene.run(move.table, drawn._replace(chance=np.full(len(drawn.unit), -np.inf)))
    before, after = ensemble.coord[0], scene.coord[0]
    np.testing.assert_allclose(_bonds(graph, after), _bonds(graph, before), atol=1e-9)
    omega = [backbone_torsions(ensemble.replace(coord=x[None])).omega for x in (before, after)]
    off = (omega[1] - omega[0] + 180) % 360 - 180
    np.testing.assert_allclose(off, 0, atol=1e-6)
    assert np.abs(after - before).max() > 0.5
    prolines = [residue for residue in graph.residues if residue.name == "PRO"]
    ring = [prolines[0][name] for name in ("N", "CA", "CB", "CG", "CD")]
    apart = [np.linalg.norm(x[ring][:, None] - x[ring], axis=-1) for x in (before, after)]
    np.testing.assert_allclose(apart[1], apart[0], atol=1e-9)


def test_the_opposite_turns_undo_a_backrub() -> None:
    ensemble = peptide(NAMES)
    move = BackrubMove(ResidueGraph(ensemble), turn=20.0)
    rng = np.random.default_rng(1)
    for unit in range(len(move.units)):
        scene = scene_of(ensemble)
        drawn = move.propose(1, rng)
        angle = drawn.angle[drawn.unit == unit]
        for sign in (1, -1):
            one = Proposals(np.zeros(1, int), np.array([unit]), sign * angle, np.array([-np.inf]))
            scene.run(move.table, one)
        np.testing.assert_allclose(scene.coord, ensemble.coord, atol=1e-9)


def test_backrubs_hardly_move_the_oxygens_of_their_ends() -> None:
    ensemble = peptide(NAMES)
    graph = ResidueGraph(ensemble)
    move = BackrubMove(graph, spans=(2,))
    unit = move.units[0]
    angle = np.zeros((1, 4))
    angle[0, 0] = np.radians(8.0)
    moved = []
    for back in (0.0, 1.0):
        angle[0, 1:3] = -back * np.array(move._places[0][1]) * angle[0, 0]
        scene = scene_of(ensemble)
        one = Proposals(np.zeros(1, int), np.zeros(1, int), angle, np.array([-np.inf]))
        scene.run(turn_table([unit]), one)
        oxygen = graph.residues[0]["O"]
        moved.append(np.linalg.norm(scene.coord[0, oxygen] - ensemble.coord[0, oxygen]))
    assert moved[1] < 0.6 * moved[0]


def test_a_flipped_peptide_of_a_map_is_found() -> None:
    ensemble = peptide(["ALA", "GLY", "GLY", "ALA", "ALA"]).replace(crystal=BOX)
    ensemble = ensemble.replace(coord=ensemble.coord + 9.0 - ensemble.coord.mean(axis=1))
    graph = ResidueGraph(ensemble)
    move = PeptideFlipMove(graph, tries=3)
    scene = scene_of(ensemble)
    flip = np.zeros((1, 4))
    flip[0, 0] = np.pi
    one = Proposals(np.zeros(1, int), np.ones(1, int), flip, np.array([-np.inf]))
    scene.run(move.table, one)
    states = np.concatenate([ensemble.coord, scene.coord])
    target = map_of(ensemble, states, np.array([0.5, 0.5]), 1.7)
    data = DensityObservable(target, 1.7, ensemble.element, sigma=0.05, fit_scale=False)
    oxygen = graph.residues[1]["O"]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scene = scene_of(ensemble, 2, MapFit(data, 1.7))
        for _ in range(15):
            move.apply(scene, rng)
            scene.refresh()
        apart = np.linalg.norm(scene.coord[:, None, oxygen] - states[:, oxygen], axis=-1)
        assert apart.min(axis=0).max() < 0.8


def test_nothing_to_try_is_refused() -> None:
    graph = ResidueGraph(peptide(["ALA", "ALA", "ALA"]))
    with pytest.raises(InputError, match="a try or more"):
        BackrubMove(graph, tries=0)
    with pytest.raises(InputError, match="angle between"):
        PeptideFlipMove(graph, noise=0.0)
