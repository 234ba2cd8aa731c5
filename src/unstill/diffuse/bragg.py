"""The Bragg side of the same frames: F_calc in the true cell and space group."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.half_space import is_positive
from unstill.crystal.supercell import symmetry_operations
from unstill.crystal.symmetry import map_to_asu
from unstill.errors import InputError, UnstillWarning
from unstill.maps.block_sums import BlockSums


@dataclass(frozen=True, eq=False)
class BraggFold:
    """Structure factors of the mean unit cell.

    Parameters
    ----------
    crystal
        The unit cell and space group.
    hkl
        ``(n, 3)`` Miller indices, one of each Laue orbit; h = 0 0 0 is left out.
    f_calc
        ``(n,)`` complex, electrons per unit cell; exactly 0 where the space
        group says absent.
    symmetry_kept
        Σ|F averaged|² / Σ⟨|F|²⟩ over the operations: 1 if the mean structure
        has the symmetry, about 1/n_operations if it has not, or sits at the
        wrong origin.
    """

    crystal: Crystal
    hkl: np.ndarray
    f_calc: np.ndarray
    symmetry_kept: float


def bragg_fold(sums: BlockSums, *, selection: str = "all") -> BraggFold:
    r"""Average ⟨F⟩ at integer hkl over the unit cells and the space group.

    With ⟨F⟩ = S1/(W n_cells) and the operations x' = R x + t,

    .. math:: F(h) = \frac{1}{n} \sum_{(R, t)} e^{2\pi i\, h \cdot t} \langle F\rangle(h R).

    Parameters
    ----------
    sums
        Block sums; the frames must sit where the space group expects them
        (same origin as the deposited structure).
    selection
        Which atoms.

    Raises
    ------
    InputError
        If no Bragg position lies within the resolution limit.

    Warns
    -----
    UnstillWarning
        If the mean structure does not have the symmetry: its F then nearly
        cancel, and the result is not a model of the crystal.
    """
    s1, _, weight, _ = sums.totals(selection)
    divisions = np.array(sums.divisions)
    at_bragg = np.all(sums.index % divisions == 0, axis=1)
    hkl = (sums.index[at_bragg] // divisions).astype(np.int64)
    f_mean = s1[at_bragg] / (weight * sums.n_cells)
    unique = np.unique(map_to_asu(sums.crystal, hkl), axis=0)
    unique = unique[np.any(unique != 0, axis=1)]
    if not len(unique):
        raise InputError(
            "no Bragg position lies within the resolution limit",
            found=f"{len(sums.index)} points",
            fix="lower --d-min",
        )
    f_calc, power = _average(sums.crystal, unique, _Lookup(hkl, f_mean))
    kept = float(np.sum(np.abs(f_calc) ** 2) / power) if power else 0.0
    n_operations = sums.crystal.n_operations
    # Half way between what symmetry gives (1) and what chance gives (1/n).
    if n_operations > 1 and kept < (1 + 1 / n_operations) / 2:
        warnings.warn(
            f"averaging over {sums.crystal.space_group} keeps only {kept:.0%} of the Bragg "
            "intensity: the frames do not have this symmetry, or sit at another origin "
            "(try --align-to model)",
            UnstillWarning,
            stacklevel=2,
        )
    return BraggFold(sums.crystal, unique, f_calc, kept)


class _Lookup:
    """F at any integer hkl of the sphere, from one half of it."""

    def __init__(self, hkl: np.ndarray, f: np.ndarray) -> None:
        self._bound = int(np.abs(hkl).max(initial=0))
        keys = self._keys(hkl)
        order = np.argsort(keys)
        self._sorted_keys, self._f = keys[order], f[order]

    def __call__(self, hkl: np.ndarray) -> np.ndarray:
        positive = is_positive(hkl)
        keys = self._keys(np.where(positive[:, None], hkl, -hkl))
        f = self._f[np.searchsorted(self._sorted_keys, keys)]
        found: np.ndarray = np.where(positive, f, f.conj())
        return found

    def _keys(self, hkl: np.ndarray) -> np.ndarray:
        span = 2 * self._bound + 1
        keys: np.ndarray = (hkl[:, 0] * span + hkl[:, 1]) * span + hkl[:, 2]
        return keys


def _average(crystal: Crystal, hkl: np.ndarray, f_at: _Lookup) -> tuple[np.ndarray, float]:
    rotations, translations = symmetry_operations(crystal)
    total = np.zeros(len(hkl), dtype=np.complex128)
    power = 0.0
    for rotation, translation in zip(rotations, translations, strict=True):
        f = f_at(hkl @ rotation.astype(np.int64))
        total += np.exp(2j * np.pi * (hkl @ translation)) * f
        power += float(np.sum(np.abs(f) ** 2))
    absent = np.asarray(crystal.group.operations().systematic_absences(hkl), dtype=bool)
    total[absent] = 0
    return total / len(rotations), power / len(rotations)
