r"""Ramachandran classes: is (φ, ψ) where residues of its kind are.

The regions are ours: counts of 129 498 residues of 2204 chains (the native N, CA and C that
the package cgdms 1.0 carries, MIT; Greener & Jones, 2021,
https://doi.org/10.1371/journal.pone.0256990) in 5° bins, ``ramachandran.csv``, smoothed by a
Gaussian on the torus. Favoured is the smallest region that holds 98 % of the residues,
allowed the one that holds 99.8 %, as Lovell et al. (2003, https://doi.org/10.1002/prot.10286)
chose for all but general residues. Those chains were not filtered by B factor or resolution,
so the regions are not those of MolProbity: of three deposited models (1G8A, 2YL0, 6NI6), 97.8,
98.1 and 98.6 % are favoured here, 98.2, 98.4 and 98.5 % in their headers.
``benchmarks/make_ramachandran_table.py`` makes the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from unstill.ensembles import Ensemble
from unstill.shapes import Float, Int
from unstill.validation.torsions import BackboneTorsions, backbone_torsions

KINDS = ("general", "glycine", "proline", "pre-proline")
CLASSES = ("outlier", "allowed", "favoured")
FAVOURED, ALLOWED = 0.98, 0.998
"""Share of the residues of the table that each region holds."""
_BIN = 5
_SMOOTHING = {"general": 5.0, "glycine": 8.0, "proline": 8.0, "pre-proline": 8.0}
"""Standard deviations (degrees): wider where there are fewer residues."""


@dataclass(frozen=True, eq=False)
class Ramachandran:
    """Classes of the residues of each member.

    Parameters
    ----------
    torsions
        What was measured.
    kind
        ``(n,)`` number in ``KINDS``.
    verdict
        ``(n_members, n)`` 0 outlier, 1 allowed, 2 favoured.
    """

    torsions: BackboneTorsions
    kind: Int[np.ndarray, " n"]
    verdict: Int[np.ndarray, "n_members n"]

    @property
    def favoured(self) -> Float[np.ndarray, " n_members"]:
        """Share of favoured residues; NaN without residues."""
        return self._share(2)

    @property
    def outliers(self) -> Float[np.ndarray, " n_members"]:
        """Share of outliers; NaN without residues."""
        return self._share(0)

    def _share(self, verdict: int) -> np.ndarray:
        if self.verdict.shape[1] == 0:
            return np.full(len(self.verdict), np.nan)
        share: np.ndarray = np.mean(self.verdict == verdict, axis=1)
        return share


def classify_backbone(ensemble: Ensemble) -> Ramachandran:
    """Classify φ, ψ of every amino acid with neighbours, in every member.

    Parameters
    ----------
    ensemble
        Members; alternate locations are classified one by one.
    """
    found = backbone_torsions(ensemble)
    kind = np.array(
        [
            backbone_kind(own, after)
            for own, after in zip(found.res_name, found.next_name, strict=True)
        ],
        dtype=int,
    )
    return Ramachandran(found, kind, classify_angles(found.phi, found.psi, kind))


def classify_angles(
    phi: Float[np.ndarray, "n_members n"],
    psi: Float[np.ndarray, "n_members n"],
    kind: Int[np.ndarray, " n"],
) -> Int[np.ndarray, "n_members n"]:
    """Classify angles: 0 outlier, 1 allowed, 2 favoured.

    Parameters
    ----------
    phi, psi
        ``(n_members, n)`` degrees.
    kind
        ``(n,)`` number in ``KINDS``.

    Examples
    --------
    >>> classify_angles(np.array([[-63.0, 0.0]]), np.array([[-43.0, 0.0]]), np.zeros(2, int))
    array([[2, 0]])
    """
    verdict = np.zeros(phi.shape, dtype=int)
    for number, name in enumerate(KINDS):
        mine = kind == number
        density, allowed, favoured = _regions(name)
        places = np.stack([phi[:, mine], psi[:, mine]])
        # The centre of the first bin is half a bin from −180°.
        at = map_coordinates(density, (places + 180) / _BIN - 0.5, order=1, mode="grid-wrap")
        verdict[:, mine] = (at >= allowed).astype(int) + (at >= favoured)
    return verdict


def backbone_density(kind: str) -> Float[np.ndarray, "phi psi"]:
    """Return the smoothed density of φ, ψ of a kind: bins of equal size from −180°.

    Parameters
    ----------
    kind
        One of ``KINDS``.

    Returns
    -------
    density
        Of sum 1.
    """
    density = _regions(kind)[0]
    share: np.ndarray = density / density.sum()
    return share


def ramachandran_regions(kind: str) -> tuple[Float[np.ndarray, "72 72"], float, float]:
    """Density of the table on bins of 5° from −180°, and the levels that bound the regions.

    Parameters
    ----------
    kind
        One of ``KINDS``.

    Returns
    -------
    density
        ``(72, 72)`` φ along the first axis.
    allowed, favoured
        Levels: at or above the second is favoured, at or above the first allowed.
    """
    return _regions(kind)


def backbone_kind(res_name: str, next_name: str) -> int:
    """Return the number in ``KINDS`` of a residue before another."""
    if res_name in ("GLY", "PRO"):
        return 1 if res_name == "GLY" else 2
    return 3 if next_name == "PRO" else 0


@lru_cache(maxsize=len(KINDS))
def _regions(kind: str) -> tuple[np.ndarray, float, float]:
    """Smoothed density, and the levels of the allowed and of the favoured region."""
    size = 360 // _BIN
    counts = np.zeros((size, size))
    text = (files("unstill.validation") / "ramachandran.csv").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith(f"{kind},"):
            phi, psi, count = (int(field) for field in line.split(",")[1:])
            counts[(phi + 180) // _BIN, (psi + 180) // _BIN] = count
    density = gaussian_filter(counts, _SMOOTHING[kind] / _BIN, mode="wrap")
    order = np.argsort(-density, axis=None)
    held = np.cumsum(counts.reshape(-1)[order]) / counts.sum()
    levels = density.reshape(-1)[order]
    allowed, favoured = (
        float(levels[min(int(np.searchsorted(held, share)), len(held) - 1)])
        for share in (ALLOWED, FAVOURED)
    )
    return density, allowed, favoured
