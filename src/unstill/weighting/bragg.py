r"""The Bragg side of the same weights: amplitudes of the weighted mean structure.

.. math:: L_B = \frac{\lambda}{2N} \sum_h
          \frac{(F_o - k\,e^{-B s^2/4}\,|\sum_t w_t F_t|)^2}{\sigma^2}

F_t is the structure factor of member t folded into the unit cell and averaged
over the space group. k is eliminated for any weights; the overall B is that
of the prior weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.same_lattice import same_lattice
from unstill.errors import InputError
from unstill.maps.amplitudes import Amplitudes
from unstill.maps.null_control import shuffled_within
from unstill.shapes import Complex, Float, Integer

_N_SHELLS = 20
_MOST_STEPS = 50


@dataclass(frozen=True, eq=False)
class FoldedMembers:
    """F of every member in the unit cell.

    Parameters
    ----------
    hkl
        ``(n, 3)`` one of each Laue orbit.
    f
        ``(n_members, n)`` electrons per unit cell.
    """

    hkl: Integer[np.ndarray, "reflections 3"]
    f: Complex[np.ndarray, "members reflections"]


@dataclass(frozen=True)
class BraggAgreement:
    """How well the amplitudes of the weighted mean structure agree with the measured ones.

    ``r_work``, ``r_free`` are Σ|F_o − k F_c|/Σ F_o with scale and overall B
    refined on the work reflections, ``cc_work``, ``cc_free`` the correlations
    of the amplitudes; NaN without free reflections.
    """

    r_work: float
    r_free: float
    cc_work: float
    cc_free: float
    scale: float
    b_overall: float
    n_work: int
    n_free: int


class BraggTerm:
    """Weighted members against measured amplitudes.

    Parameters
    ----------
    members
        Folded members.
    prior
        ``(n_members,)`` their weights before the fit.
    observed
        The measured amplitudes.
    crystal
        That of the members.
    weight
        λ, relative to the diffuse target.
    n_permutations, seed
        Permutations of the amplitudes within shells, for the null control.

    Raises
    ------
    InputError
        If the cells differ, or hardly any reflection is common.
    """

    def __init__(
        self,
        members: FoldedMembers,
        prior: Float[np.ndarray, " members"],
        observed: Amplitudes,
        crystal: Crystal,
        *,
        weight: float,
        n_permutations: int = 0,
        seed: int = 0,
    ) -> None:
        if not same_lattice(observed.crystal, crystal):
            raise InputError(
                "wrong cell: members and measured amplitudes differ by more than 1 %",
                found=f"{crystal.unit_cell} and {observed.crystal.unit_cell}",
                fix="give amplitudes of this crystal form",
            )
        here, there = _common(members.hkl, observed.hkl)
        # Absences of the space group carry no information and no phase.
        present = np.abs(members.f[:, here]).max(axis=0) > 0
        here, there = here[present], there[present]
        if len(here) < _N_SHELLS:
            raise InputError(
                "the members and the measured amplitudes share too few reflections",
                found=f"{len(here)} of {len(observed.hkl)} measured",
                fix="check cell, indexing and --d-min",
            )
        self.weight = weight
        self._f = members.f[:, here]
        self._s2 = observed.crystal.s_squared(observed.hkl[there].astype(float))
        self._free = observed.free[there]
        data = [(observed.f_obs[there], observed.sigma[there])]
        shell = np.searchsorted(
            np.quantile(self._s2, np.linspace(0, 1, _N_SHELLS + 1)[1:-1]), self._s2
        )
        for number in range(n_permutations):
            source = shuffled_within(shell, np.random.default_rng([seed, number]))
            data.append((data[0][0][source], data[0][1][source]))
        self._f_obs = np.stack([f for f, _ in data])
        self._precision = np.stack([np.where(self._free, 0.0, s**-2.0) for _, s in data])
        f_prior = np.abs(prior @ self._f)
        _, b_overall = fit_scale(f_prior, *data[0], self._s2, ~self._free)
        self._damping = np.exp(-b_overall * self._s2 / 4)

    def value_and_gradient(
        self, weights: Float[np.ndarray, "sets members"], order: np.ndarray | None = None
    ) -> tuple[Float[np.ndarray, " sets"], Float[np.ndarray, "sets members"]]:
        """λ L_B and its gradient to the weights.

        Parameters
        ----------
        weights
            ``(n_sets, n_members)``.
        order
            ``(n_sets,)`` 0 for the data, i for their i-th permutation.
        """
        chosen = np.zeros(len(weights), dtype=int) if order is None else order
        f_obs, precision = self._f_obs[chosen], self._precision[chosen]
        f = weights @ self._f
        size = np.abs(f)
        calculated = self._damping * size
        norm = np.sum(precision * calculated**2, axis=1)
        k = np.sum(precision * calculated * f_obs, axis=1) / np.where(norm > 0, norm, 1.0)
        residual = f_obs - k[:, None] * calculated
        n = max(int(np.count_nonzero(~self._free)), 1)
        value = self.weight * np.sum(precision * residual**2, axis=1) / (2 * n)
        by_size = -self.weight * k[:, None] * self._damping * precision * residual / n
        phase = np.where(size > 0, f, 1) / np.where(size > 0, size, 1)
        gradient = (by_size * phase.real) @ self._f.real.T + (
            by_size * phase.imag
        ) @ self._f.imag.T
        return value, gradient

    def agreement(self, weights: Float[np.ndarray, " members"]) -> BraggAgreement:
        """R and CC, work and free, with scale and overall B of these weights."""
        size = np.abs(weights @ self._f)
        work = ~self._free
        sigma = np.where(work, 1 / np.sqrt(np.where(work, self._precision[0], 1.0)), 1.0)
        scale, b_overall = fit_scale(size, self._f_obs[0], sigma, self._s2, work)
        calculated = scale * np.exp(-b_overall * self._s2 / 4) * size
        r_work, cc_work = _r_and_cc(self._f_obs[0], calculated, work)
        r_free, cc_free = _r_and_cc(self._f_obs[0], calculated, self._free)
        return BraggAgreement(
            r_work, r_free, cc_work, cc_free, scale, b_overall, int(work.sum()), int((~work).sum())
        )


def fit_scale(
    f_calc: Float[np.ndarray, " reflections"],
    f_obs: Float[np.ndarray, " reflections"],
    sigma: Float[np.ndarray, " reflections"],
    s_squared: Float[np.ndarray, " reflections"],
    work: np.ndarray,
) -> tuple[float, float]:
    r"""Scale and overall B by least squares, :math:`\sum (F_o - k e^{-B s^2/4} F_c)^2/\sigma^2`.

    Returns
    -------
    scale, b_overall
        k, and B in Å².

    Examples
    --------
    >>> s2 = np.linspace(0.01, 0.2, 50)
    >>> f = 10 + np.sin(np.arange(50.0))
    >>> data = 3 * np.exp(-12 * s2 / 4) * f
    >>> k, b = fit_scale(f, data, np.ones(50), s2, np.ones(50, bool))
    >>> round(k, 6), round(b, 6)
    (3.0, 12.0)
    """
    w, fc, fo, s2 = sigma[work] ** -2.0, f_calc[work], f_obs[work], s_squared[work] / 4
    b, k = 0.0, float(np.sum(w * fo * fc) / max(np.sum(w * fc**2), np.finfo(float).tiny))
    cost = float(np.sum(w * (fo - k * fc) ** 2))
    damping = 1e-3
    for _ in range(_MOST_STEPS):
        model = k * np.exp(-b * s2) * fc
        j = np.stack([model, -s2 * model])
        normal = (w * j) @ j.T
        step = np.linalg.solve(
            normal + damping * np.diag(np.diag(normal) + 1e-300), (w * j) @ (fo - model)
        )
        new_k, new_b = k * np.exp(np.clip(step[0], -1, 1)), b + step[1]
        trial = float(np.sum(w * (fo - new_k * np.exp(-new_b * s2) * fc) ** 2))
        if not trial < cost:
            damping *= 10
            if damping > 1e6:
                break
            continue
        done = cost - trial < 1e-12 * cost
        k, b, cost, damping = float(new_k), float(new_b), trial, damping / 10
        if done:
            break
    return k, b


def _common(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bound = int(max(np.abs(ours).max(), np.abs(theirs).max()))
    span = 2 * bound + 1

    def keys(hkl: np.ndarray) -> np.ndarray:
        found: np.ndarray = ((hkl[:, 0] + bound) * span + hkl[:, 1] + bound) * span + hkl[:, 2]
        return found

    _, here, there = np.intersect1d(keys(ours), keys(theirs), return_indices=True)
    return here, there


def _r_and_cc(f_obs: np.ndarray, f_calc: np.ndarray, counted: np.ndarray) -> tuple[float, float]:
    if np.count_nonzero(counted) < 3:
        return float("nan"), float("nan")
    fo, fc = f_obs[counted], f_calc[counted]
    return float(np.abs(fo - fc).sum() / fo.sum()), float(np.corrcoef(fo, fc)[0, 1])
