from __future__ import annotations

import numpy as np
import pytest
from peptides import map_of, residue

from unstill.crystal import Crystal
from unstill.guidance.moves.contacts import ContactFinder
from unstill.guidance.moves.residual import gradient_at, local_density
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import MapFit, Scene
from unstill.guidance.moves.side_chains import side_chain_units
from unstill.guidance.moves.turns import Proposals, turn_table
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState

CELL = Crystal((19.0, 21.0, 23.0, 90.0, 100.0, 90.0), "P 1 21 1")


@pytest.mark.parametrize(("region", "tolerance"), [(False, 0.01), (True, 0.04)])
@pytest.mark.parametrize("resolution", [1.7, 2.6])
def test_changes_of_the_loss_are_those_of_the_whole_density(
    region: bool, tolerance: float, resolution: float
) -> None:
    ensemble = residue("ARG").replace(crystal=CELL)
    rng = np.random.default_rng(3)
    coord = ensemble.coord + rng.normal(0, 0.15, (3, ensemble.n_atoms, 3))
    weights = np.array([0.5, 0.3, 0.2])
    target = map_of(ensemble, ensemble.coord, np.ones(1), 1.7)
    occupancy = np.linspace(0.6, 1.0, ensemble.n_atoms)
    data = DensityObservable(
        target,
        1.7,
        ensemble.element,
        sigma=0.1,
        occupancy=occupancy,
        region=coord[0] if region else None,
        radius=6.0,
        fit_scale=False,
    )
    b_factor = np.linspace(10.0, 30.0, ensemble.n_atoms)
    state = EnsembleState(coord, weights, b_factor)
    graph = ResidueGraph(ensemble)
    # Repulsion is not what is tested here.
    scene = Scene(state, ContactFinder(graph), MapFit(data, resolution), softness=1e6)
    unit = side_chain_units(graph).units[0]
    table = turn_table([unit])
    loss, calm = data.value_and_grad(state, resolution).loss, 0.0
    for member in (0, 1, 0, 2):
        angle = rng.uniform(-2.5, 2.5, (1, 4))
        sure = Proposals(np.array([member]), np.zeros(1, int), angle, np.array([-np.inf]))
        before = _barriers(scene.coord[member], unit)
        change = scene.run(table, sure).energy
        change -= _barriers(scene.coord[member], unit) - before
        new = data.value_and_grad(scene.now(), resolution).loss
        assert change == pytest.approx(new - loss, rel=tolerance, abs=tolerance * abs(calm or new))
        loss, calm = new, calm or abs(new - loss)


def _barriers(coord: np.ndarray, unit: object) -> float:
    from unstill.validation.torsions import torsions

    return sum(
        turn.barrier
        * (1 + np.cos(3 * np.radians(torsions(coord[None], np.array([turn.torsion])))))
        for turn in unit.turns  # type: ignore[attr-defined]
    )[0, 0]


def test_gradients_to_occupancy_are_those_of_the_observable() -> None:
    ensemble = residue("MSE").replace(crystal=CELL)
    target = map_of(ensemble, ensemble.coord, np.ones(1), 1.8)
    data = DensityObservable(target, 1.8, ensemble.element, sigma=0.1, fit_scale=False)
    coord = ensemble.coord + 0.4
    state = EnsembleState(coord, np.ones(1), ensemble.b_factor)
    density = local_density(data, state, 1.8)
    found = sum(gradient_at(density, atom, *xyz) for atom, xyz in enumerate(coord[0]))
    assert found == pytest.approx(float(data.value_and_grad(state, 1.8).weights[0]), rel=0.01)
