"""Closed loop: two states of a segment are found again from Bragg and diffuse data together."""

from __future__ import annotations

import gemmi
import numpy as np
import scipy.optimize

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.half_space import friedel_half
from unstill.guidance.observables.amplitude_targets import LeastSquares
from unstill.guidance.observables.amplitudes import AmplitudeObservable
from unstill.guidance.observables.diffuse import DiffuseObservable
from unstill.guidance.observables.joint import Joint
from unstill.guidance.protocols import EnsembleState
from unstill.maps.amplitudes import Amplitudes
from unstill.maps.intensity_map import IntensityMap

CRYSTAL = Crystal((15.0, 16.0, 22.0, 90.0, 98.0, 90.0))
N, E, D_MIN = 36, 4, 2.0
ELEMENT = np.array(["N", "C", "C", "O"] * (N // 4))
B = np.full(N, 12.0)


def _chain() -> np.ndarray:
    """A helix with the rise and turn of four atoms a residue."""
    turn = np.arange(N) * 0.44
    radius = np.where(ELEMENT == "O", 3.2, 2.2)
    return np.stack(
        [7 + radius * np.cos(turn), 8 + radius * np.sin(turn), 4 + 0.38 * np.arange(N)], axis=1
    )


def _direct(q: np.ndarray, coord: np.ndarray) -> np.ndarray:
    quarter = CRYSTAL.s_squared(q) / 4
    total = np.zeros(len(q), dtype=complex)
    tables = {kind: gemmi.Element(kind).it92 for kind in "CNO"}
    form = {k: np.array([t.calculate_sf(x) for x in quarter.tolist()]) for k, t in tables.items()}
    for element, place, b in zip(ELEMENT, CRYSTAL.fractional(coord), B, strict=True):
        total += form[str(element)] * np.exp(-b * quarter + 2j * np.pi * (q @ place))
    return total


def _rmsf(coord: np.ndarray) -> np.ndarray:
    apart = coord - coord.mean(axis=0)
    rmsf: np.ndarray = np.sqrt((apart**2).sum(axis=2).mean(axis=0))
    return rmsf


def test_bragg_and_diffuse_give_back_the_two_states_of_a_segment() -> None:
    mean = _chain()
    shift = np.zeros((N, 3))
    shift[12:24] = 0.5 * np.array([0.6, -0.64, 0.48])
    states = np.stack([mean - shift, mean + shift])
    hkl = friedel_half(CRYSTAL, D_MIN)
    hkl = hkl[hkl.any(axis=1)]
    f_obs = np.abs(np.mean([_direct(hkl, one) for one in states], axis=0))
    free = np.random.default_rng(1).random(len(hkl)) < 0.05
    bragg = AmplitudeObservable(
        Amplitudes(CRYSTAL, hkl, f_obs, np.full(len(hkl), 0.03 * f_obs.mean()), free),
        ELEMENT,
        target=LeastSquares(),
        solvent=False,
        refit_every=10**6,
    )
    grid = HklGrid((-7, -8, 0), (15, 17, 12))
    q = np.stack(np.meshgrid(*grid.axes(), indexing="ij"), axis=-1).reshape(-1, 3)
    f = np.array([_direct(q, one) for one in states])
    made = (np.abs(f) ** 2).mean(axis=0) - np.abs(f.mean(axis=0)) ** 2
    made = made.reshape(grid.shape)
    sigma = 0.05 * made + 0.02 * made.mean()
    diffuse = DiffuseObservable(
        IntensityMap(CRYSTAL, grid, made, sigma=sigma), ELEMENT, fit_scale=False
    )
    data = Joint([(bragg, 1.0), (diffuse, 1.0)])
    rng = np.random.default_rng(0)
    coord = mean + rng.normal(0, 0.1, (E, N, 3))
    weights = np.full(E, 1 / E)
    first = data.value_and_grad(EnsembleState(coord, weights, B), D_MIN).loss
    for resolution, steps in ((4.0, 25), (2.8, 25), (D_MIN, 50)):
        bragg.refresh(EnsembleState(coord, weights, B), resolution)

        def loss(flat: np.ndarray, resolution: float = resolution) -> tuple[float, np.ndarray]:
            state = EnsembleState(flat.reshape(E, N, 3), weights, B)
            found = data.value_and_grad(state, resolution)
            # Weak springs between members' deviations of neighbours: topology, not data.
            apart = np.diff(state.coord - mean, axis=1)
            pull = np.zeros(state.coord.shape)
            pull[:, 1:] += apart
            pull[:, :-1] -= apart
            return found.loss + 10.0 * float((apart**2).sum()), (found.coord + 20.0 * pull).ravel()

        best = scipy.optimize.minimize(
            loss, coord.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps}
        )
        coord = best.x.reshape(E, N, 3)
    last = data.value_and_grad(EnsembleState(coord, weights, B), D_MIN).loss
    expected, found = _rmsf(states), _rmsf(coord)
    assert last <= 0.2 * first
    assert np.corrcoef(expected, found)[0, 1] >= 0.8
    moving = slice(12, 24)
    ratio = float(np.sqrt((found[moving] ** 2).mean() / (expected[moving] ** 2).mean()))
    assert 0.8 <= ratio <= 1.2
