r"""Rotamer outliers: side chains where hardly any of their kind are.

The distribution of the χ angles of a residue is taken for a mixture of its rotamers,

.. math:: p(\chi) = \sum_r f_r \prod_i \frac{1}{\sqrt{2\pi}\sigma_{ri}}
   e^{-\Delta(\chi_i, \mu_{ri})^2 / 2\sigma_{ri}^2}

with frequencies, means and standard deviations of the 8000 filtered chains of Hintze et al.
(2016, https://pmc.ncbi.nlm.nih.gov/articles/PMC4983197; ``rotamers.csv``). A residue is an outlier
where p is lower than at all but 0.3 % of the residues of its kind, and favoured where it is higher
than at the lowest 2 %: their shares, and the level of p is found by drawing from the mixture.
Counts have heavier tails than Gaussians: σ is the tabulated one times 1.3, with which three
deposited models (1G8A, 2YL0, 6NI6) have as many outliers together as by their headers, from
MolProbity (5 of 752 side chains); single verdicts differ. Proline has a ring and is not
judged; selenomethionine is taken for methionine. χ of groups that look alike after half a turn
(the last of Asp, Glu, Phe, Tyr) count modulo 180°.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from unstill.shapes import Bool, Float, Int
from unstill.validation.rotamers import SideChains

OUTLIER, FAVOURED = 0.003, 0.02
"""Shares of the residues of a kind that lie below the two levels."""
_SAME = {"MSE": "MET"}
_HALF_TURN = {"ASP": 1, "GLU": 2, "PHE": 1, "TYR": 1}
"""Angle (counted from 0) of period 180°."""
_NARROWEST = 5.0
"""Degrees: deviations of a handful of residues are not to be trusted below this."""
_WIDENING = 1.3
"""Of the deviations, for the tails; see above."""
_DRAWS = 40_000


@dataclass(frozen=True, eq=False)
class Rotamers:
    """Classes of side chains.

    Parameters
    ----------
    verdict
        ``(n_members, n)`` 0 outlier, 1 allowed, 2 favoured; −1 where not judged.
    name
        For each member, ``(n,)`` names of the nearest rotamers, ``mttt``; ``""`` where not judged.
    """

    verdict: Int[np.ndarray, "n_members n"]
    name: tuple[tuple[str, ...], ...]

    @property
    def judged(self) -> Bool[np.ndarray, " n"]:
        """Side chains with all their angles, of a kind that has rotamers."""
        return np.asarray((self.verdict >= 0).all(axis=0))


def classify_side_chains(chains: SideChains) -> Rotamers:
    """Classify χ angles of every residue conformer in every member.

    Parameters
    ----------
    chains
        As :func:`unstill.validation.rotamers.side_chain_torsions` measures them.
    """
    n_members, n = chains.chi.shape[:2]
    verdict = np.full((n_members, n), -1)
    names = np.full((n_members, n), "", dtype="U12")
    kinds = np.array([_SAME.get(name, name) for name in chains.res_name], dtype=str)
    for kind in np.unique(kinds).tolist():
        if kind not in _table():
            continue
        mine = np.flatnonzero(kinds == kind)
        n_angles = _table()[kind].mean.shape[1]
        chi = chains.chi[:, mine, :n_angles]
        whole = np.isfinite(chi).all(axis=(0, 2))
        mine, chi = mine[whole], chi[:, whole]
        verdict[:, mine], nearest = classify_rotamer(kind, chi)
        names[:, mine] = np.array(_table()[kind].names)[nearest]
    return Rotamers(verdict, tuple(tuple(row) for row in names.tolist()))


def classify_rotamer(
    res_name: str, chi: Float[np.ndarray, "... n_angles"]
) -> tuple[Int[np.ndarray, "..."], Int[np.ndarray, "..."]]:
    """Classify angles of one kind of residue.

    Parameters
    ----------
    res_name
        Three letters, one of :func:`rotameric_residues`.
    chi
        ``(..., n_angles)`` degrees.

    Returns
    -------
    verdict
        ``(...)`` 0 outlier, 1 allowed, 2 favoured.
    nearest
        ``(...)`` number of the rotamer that has most of p there.

    Examples
    --------
    >>> classify_rotamer("VAL", np.array([[176.0], [120.0]]))[0].tolist()
    [2, 0]
    """
    kind = _table()[res_name]
    outlier, favoured = _levels(res_name)
    parts = kind.log_parts(np.asarray(chi, dtype=float))
    density = np.logaddexp.reduce(parts, axis=-1)
    verdict = (density >= outlier).astype(int) + (density >= favoured)
    return verdict, parts.argmax(axis=-1)


def rotameric_residues() -> tuple[str, ...]:
    """Return the names of residues that can be classified."""
    return tuple(sorted(_table()))


@dataclass(frozen=True, eq=False)
class _Kind:
    names: tuple[str, ...]
    log_share: np.ndarray  # (n_rotamers,)
    mean: np.ndarray  # (n_rotamers, n_angles)
    width: np.ndarray  # (n_rotamers, n_angles)
    period: np.ndarray  # (n_angles,)

    def log_parts(self, chi: np.ndarray) -> np.ndarray:
        """``(..., n_rotamers)`` ln of the term of every rotamer."""
        apart = chi[..., None, :] - self.mean
        apart = apart - self.period * np.rint(apart / self.period)
        exponent = -0.5 * np.sum((apart / self.width) ** 2, axis=-1)
        parts: np.ndarray = self.log_share - np.log(self.width).sum(axis=1) + exponent
        return parts


@lru_cache(maxsize=32)
def _levels(res_name: str) -> tuple[float, float]:
    """Ln p (but for a constant) that 0.3 % and 2 % of the draws from the mixture lie below."""
    kind = _table()[res_name]
    rng = np.random.default_rng(0)
    rotamer = rng.choice(len(kind.names), _DRAWS, p=np.exp(kind.log_share))
    chi = kind.mean[rotamer] + kind.width[rotamer] * rng.standard_normal(
        (_DRAWS, kind.mean.shape[1])
    )
    density = np.concatenate(
        [np.logaddexp.reduce(kind.log_parts(part), axis=-1) for part in np.array_split(chi, 20)]
    )
    outlier, favoured = np.quantile(density, [OUTLIER, FAVOURED])
    return float(outlier), float(favoured)


@lru_cache(maxsize=1)
def _table() -> dict[str, _Kind]:
    text = (files("unstill.validation") / "rotamers.csv").read_text("utf-8")
    rows: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            kind, *rest = line.split(",")
            rows.setdefault(kind, []).append(rest)
    found = {}
    for kind, lines in rows.items():
        numbers = np.array([line[1:] for line in lines], dtype=float)
        count, angles = numbers[:, 0], numbers[:, 1:].reshape(len(lines), -1, 2)
        period = np.full(angles.shape[1], 360.0)
        if kind in _HALF_TURN:
            period[_HALF_TURN[kind]] = 180.0
        found[kind] = _Kind(
            tuple(line[0] for line in lines),
            np.log(count / count.sum()),
            angles[..., 0],
            _WIDENING * np.maximum(angles[..., 1], _NARROWEST),
            period,
        )
    return found
