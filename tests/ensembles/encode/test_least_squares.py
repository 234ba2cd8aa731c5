"""The solver of geometry, against scipy and closed forms."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from unstill.ensembles.encode.least_squares import Balls, meet_distances
from unstill.ensembles.encode.restraints import Restraints


def no_balls() -> Balls:
    return Balls(
        np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)), 1.0, 1.0
    )


def test_two_rows_meet_half_way() -> None:
    """One distance against two tethers has a closed form."""
    mean = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    sigma, tether, target = 0.02, 0.3, 1.5
    found = meet_distances(
        mean,
        Restraints(np.array([0]), np.array([1]), np.array([target]), np.array([sigma])),
        no_balls(),
        tether,
    )
    # Both move by s: minimise ((2 − 2s − d)/σ)² + 2 (s/t)².
    shift = 2 * (2 - target) / sigma**2 / (4 / sigma**2 + 2 / tether**2)
    np.testing.assert_allclose(found, [[shift, 0, 0], [2 - shift, 0, 0]], atol=1e-4)


@settings(max_examples=6)
@given(seed=st.integers(0, 1000))
def test_it_is_as_low_as_scipy_finds(seed) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    mean = rng.normal(scale=2.0, size=(n, 3))
    a, b = np.triu_indices(n, 1)
    picked = rng.choice(len(a), 20, replace=False)
    a, b = a[picked], b[picked]
    length = np.linalg.norm(mean[a] - mean[b], axis=1) + rng.normal(scale=0.15, size=20)
    restraints = Restraints(a, b, length, np.full(20, 0.05))
    row = rng.integers(0, n, 6)
    balls = Balls(
        np.array([0, 3, 6]), row, mean[row] + rng.normal(scale=0.3, size=(6, 3)), 0.1**2, 20.0
    )

    def total(flat: np.ndarray) -> float:
        x = flat.reshape(n, 3)
        errors = (np.linalg.norm(x[a] - x[b], axis=1) - length) / 0.05
        squared = ((x[row] - balls.place) ** 2).sum(axis=1).reshape(2, 3).mean(axis=1)
        over = np.maximum(squared / balls.limit - 1, 0)
        return float(errors @ errors + ((x - mean) ** 2).sum() / 0.3**2 + 20 * over @ over)

    found = meet_distances(mean, restraints, balls, 0.3)
    best = minimize(total, mean.ravel(), method="L-BFGS-B", options={"maxiter": 2000})
    # It stops when a step gains less than a few parts in a thousand.
    assert total(found.ravel()) <= total(mean.ravel())
    assert total(found.ravel()) <= 1.1 * best.fun + 1e-3
