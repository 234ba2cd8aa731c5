from __future__ import annotations

import numpy as np
import pytest
from peptides import BOX, map_of, peptide

from unstill.errors import InputError
from unstill.guidance.moves.jumps import Jumps
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.side_chains import RotamerMove
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState, Jumping

NAMES = ["ALA", "LEU", "GLY", "ARG", "PRO", "SER", "MSE", "ALA"]


def test_a_round_has_the_protocol_and_the_same_seed_the_same_bits() -> None:
    ensemble = peptide(NAMES)
    jumps = Jumps(ResidueGraph(ensemble))
    assert isinstance(jumps, Jumping)
    x = np.repeat(ensemble.coord, 3, axis=0)
    found = [jumps.jump(x, 0.3, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.any(found[0] != found[2])
    assert np.any(found[0] != x)
    assert sum(tally.taken for tally in jumps.tallies.values()) > 0
    assert x[0, 0, 0] == ensemble.coord[0, 0, 0]


def test_a_map_of_strength_nought_is_no_map() -> None:
    ensemble = peptide(NAMES).replace(crystal=BOX)
    graph = ResidueGraph(ensemble)
    target = map_of(ensemble, ensemble.coord, np.ones(1), 2.0)
    data = DensityObservable(target, 2.0, ensemble.element, sigma=0.05)
    plain, none = Jumps(graph), Jumps(graph, observable=data, strength=0.0)
    flat = Jumps(graph, observable=data)
    x = np.repeat(ensemble.coord, 2, axis=0)
    found = [jumps.jump(x, 0.2, np.random.default_rng(3)) for jumps in (plain, none, flat)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.any(found[0] != found[2])


def test_rounds_lower_the_loss_and_heed_weights() -> None:
    ensemble = peptide(NAMES).replace(crystal=BOX)
    graph = ResidueGraph(ensemble)
    rng = np.random.default_rng(0)
    other = Jumps(graph, moves=[RotamerMove(graph)]).jump(ensemble.coord, 0.3, rng)
    weights = np.array([0.7, 0.3])
    target = map_of(ensemble, np.concatenate([ensemble.coord, other]), weights, 1.8)
    data = DensityObservable(target, 1.8, ensemble.element, sigma=0.05)
    b_factor = ensemble.b_factor
    jumps = Jumps(graph, observable=data, weights=weights, b_factor=b_factor)
    x = np.repeat(ensemble.coord, 2, axis=0)
    loss = [data.value_and_grad(EnsembleState(x, weights, b_factor), 1.8).loss]
    for _ in range(12):
        x = jumps.jump(x, 0.05, rng)
        loss.append(data.value_and_grad(EnsembleState(x, weights, b_factor), 1.8).loss)
    assert loss[-1] < 0.5 * loss[0]


def test_wrong_input_is_refused() -> None:
    ensemble = peptide(NAMES).replace(crystal=BOX)
    graph = ResidueGraph(ensemble)
    target = map_of(ensemble, ensemble.coord, np.ones(1), 2.5)
    with pytest.raises(InputError, match="other atoms"):
        Jumps(graph, observable=DensityObservable(target, 2.5, ensemble.element[:-1]))
    with pytest.raises(InputError, match="0 or more"):
        Jumps(graph, strength=-1.0)
    with pytest.raises(InputError, match="do not fit"):
        Jumps(graph).jump(ensemble.coord[:, :-1], 0.1, np.random.default_rng(0))
