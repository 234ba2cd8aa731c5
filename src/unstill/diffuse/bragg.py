"""The Bragg side of the same frames: F_calc in the true cell and space group."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.half_space import is_positive
from unstill.crystal.hkl_grid import Triple
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
    fold = BraggPoints.of(sums.crystal, sums.divisions, sums.index)
    f_calc, power = fold.average(s1 / weight)
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
    return BraggFold(sums.crystal, fold.hkl, f_calc, kept)


@dataclass(frozen=True, eq=False)
class BraggPoints:
    """Where the mates of each Bragg reflection stand among the points of a supercell.

    Parameters
    ----------
    crystal
        The unit cell and space group.
    hkl
        ``(n, 3)`` Miller indices, one of each Laue orbit; 0 0 0 is left out.
    position
        ``(n_operations, n)`` point that holds h R or its Friedel mate.
    factor
        ``(n_operations, n)`` phase e^(2πi h·t) over the numbers of operations
        and of unit cells; 0 where the space group says absent.
    conjugate
        ``(n_operations, n)`` True where it is the Friedel mate.
    """

    crystal: Crystal
    hkl: np.ndarray
    position: np.ndarray
    factor: np.ndarray
    conjugate: np.ndarray

    @classmethod
    def of(cls, crystal: Crystal, divisions: Triple, index: np.ndarray) -> BraggPoints:
        """Find the Bragg reflections among the points of one half of reciprocal space.

        Raises
        ------
        InputError
            If there are none.
        """
        at_bragg = np.flatnonzero(np.all(index % np.array(divisions) == 0, axis=1))
        hkl = (index[at_bragg] // np.array(divisions)).astype(np.int64)
        unique = np.unique(map_to_asu(crystal, hkl), axis=0)
        unique = unique[np.any(unique != 0, axis=1)]
        if not len(unique):
            raise InputError(
                "no Bragg position lies within the resolution limit",
                found=f"{len(index)} points",
                fix="lower --d-min",
            )
        bound = int(np.abs(hkl).max(initial=0))
        keys = _keys(hkl, bound)
        order = np.argsort(keys)
        rotations, translations = symmetry_operations(crystal)
        mates = np.stack([unique @ rotation.astype(np.int64) for rotation in rotations])
        positive = is_positive(mates)
        wanted = _keys(np.where(positive[..., None], mates, -mates), bound)
        place = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
        # Points that were read from a file may lack some mates.
        whole = np.all(keys[place] == wanted, axis=0)
        factor = np.exp(2j * np.pi * (translations @ unique.T))
        absent = np.asarray(crystal.group.operations().systematic_absences(unique), dtype=bool)
        factor[:, absent] = 0
        return cls(
            crystal,
            unique[whole],
            at_bragg[place[:, whole]],
            factor[:, whole] / (len(rotations) * float(np.prod(divisions))),
            ~positive[:, whole],
        )

    def average(self, f: np.ndarray) -> tuple[np.ndarray, float]:
        """Average F of a supercell over its unit cells and the space group.

        Parameters
        ----------
        f
            ``(n_points,)`` F of the supercell (electrons).

        Returns
        -------
        f_cell
            ``(n,)`` electrons per unit cell.
        power
            Mean over the operations of Σ|F|², which symmetry alone would keep.
        """
        mates = f[self.position]
        mates = np.where(self.conjugate, mates.conj(), mates)
        n_operations = len(self.position)
        size = np.abs(self.factor).max() * n_operations
        power = float(np.sum(np.abs(mates) ** 2)) * size**2 / n_operations
        return np.sum(self.factor * mates, axis=0), power


def _keys(hkl: np.ndarray, bound: int) -> np.ndarray:
    span = 2 * bound + 1
    keys: np.ndarray = (hkl[..., 0] * span + hkl[..., 1]) * span + hkl[..., 2]
    return keys
