"""Fit five Gaussians to the incoherent scattering functions of Hubbell et al. (1975).

Run once with xraylib (which holds their tables) and scipy:

    python make_incoherent_table.py > incoherent.csv

S(x) = Z − Σ a exp(−b x²), x = sin θ/λ from 0 to 1.5 Å⁻¹, Σ a = Z, a ≥ 0. The last column is
the largest error of the fit in electrons.
"""

# ruff: noqa: T201
from __future__ import annotations

import numpy as np
import xraylib
from scipy.optimize import least_squares

X = np.concatenate([np.linspace(0.005, 0.3, 119), np.linspace(0.305, 1.5, 120)])
N = 5


def gaussians(parameters: np.ndarray, z: int) -> tuple[np.ndarray, np.ndarray]:
    share = np.exp(parameters[:N] - parameters[:N].max())
    return z * share / share.sum(), np.exp(parameters[N:])


def fit(z: int) -> tuple[np.ndarray, np.ndarray, float]:
    target = np.array([xraylib.SF_Compt(z, float(x)) for x in X])

    def residual(parameters: np.ndarray) -> np.ndarray:
        a, b = gaussians(parameters, z)
        error = z - np.exp(-np.outer(X**2, b)) @ a - target
        return error / np.sqrt(0.02 * z + target)

    rng = np.random.default_rng(z)
    starts = [np.r_[np.zeros(N), np.log([80.0, 20.0, 6.0, 1.2, 0.3]) + rng.normal(0, 0.3 * i, N)]
              for i in range(6)]  # fmt: skip
    best = min((least_squares(residual, start, max_nfev=3000) for start in starts),
               key=lambda found: found.cost)  # fmt: skip
    a, b = gaussians(best.x, z)
    order = np.argsort(-b)
    error = z - np.exp(-np.outer(X**2, b)) @ a - target
    return a[order], b[order], float(np.abs(error).max())


print("# S(x) = Z - sum a exp(-b x^2), x = sin(theta)/lambda (1/A) up to 1.5; fitted to the")
print("# incoherent scattering functions of Hubbell et al. (1975), doi:10.1063/1.555523")
print("element," + ",".join(f"a{i},b{i}" for i in range(1, N + 1)) + ",error")
for z in range(1, 55):
    a, b, error = fit(z)
    numbers = ",".join(f"{p:.5f},{q:.5f}" for p, q in zip(a, b, strict=True))
    print(f"{xraylib.AtomicNumberToSymbol(z)},{numbers},{error:.4f}")
