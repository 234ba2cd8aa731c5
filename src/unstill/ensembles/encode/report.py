"""What encoding an ensemble did to it, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer


@dataclass(frozen=True)
class EncodedResidue:
    """How one residue came out.

    Parameters
    ----------
    residue
        Readable name, ``chain/name number``.
    n_states
        Places of the atom that has most.
    n_atoms
        Atoms of the residue, each counted once.
    n_rows
        Atoms counted once for every place.
    rmsd_mean, rmsd_max
        RMSD between the rebuilt members and the given ones: mean over the members
        (weighted) and largest, in Å.
    spread
        Root mean square displacement of atoms inside their states, all three directions
        together, in Å: what went into B.
    """

    residue: str
    n_states: int
    n_atoms: int
    n_rows: int
    rmsd_mean: float
    rmsd_max: float
    spread: float


@dataclass(frozen=True)
class EncodeReport:
    """What encoding an ensemble did to it.

    Parameters
    ----------
    profile
        ``eps``, ``lossless`` or ``legacy``.
    eps
        Bound that was asked for, in Å; 0 for lossless.
    n_members, n_atoms
        Of the ensemble.
    n_rows, n_states, n_labels
        Of the model; labels are distinct altlocs.
    residues
        Each residue in the order of the atoms.
    rmsd_mean, rmsd_max
        Over all residues and members, in Å.
    n_junctions
        Distinct pairs of places of C and N that are bonded in some member.
    n_repaired
        Those of them whose length was off by more than 0.1 Å before the repair.
    n_off, n_off_given
        Bonds C–N, counted in every member, off by more than 0.1 Å in the rebuilt members
        where the given member has a good one, and off in the given members.
    worst_junction
        Largest error of such a bond in the rebuilt members where the given one is good, in Å.
    dropped
        Share of the population that the model cannot show.
    notes
        What else the reader of the model should know.
    """

    profile: str
    eps: float
    n_members: int
    n_atoms: int
    n_rows: int
    n_states: int
    n_labels: int
    residues: tuple[EncodedResidue, ...] = ()
    rmsd_mean: float = 0.0
    rmsd_max: float = 0.0
    n_junctions: int = 0
    n_repaired: int = 0
    n_off: int = 0
    n_off_given: int = 0
    worst_junction: float = 0.0
    dropped: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def compression(self) -> float:
        """Coordinates of the ensemble over those of the model."""
        return self.n_members * self.n_atoms / max(self.n_rows, 1)

    @property
    def bound_holds(self) -> bool:
        """Whether every residue of every member is within ``eps`` (and 1e-6 Å of rounding)."""
        return self.rmsd_max <= self.eps + 1e-6

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            **asdict(self),
            "residues": [asdict(residue) for residue in self.residues],
            "notes": list(self.notes),
            "compression": self.compression,
            "bound_holds": self.bound_holds,
        }


@dataclass(frozen=True, eq=False)
class Encoded:
    """A multiconformer model, and what was done to the ensemble on the way.

    Parameters
    ----------
    model
        Members are recorded in it.
    report
        What it kept and what it lost.
    """

    model: Multiconformer
    report: EncodeReport


def count_labels(model: Multiconformer) -> int:
    """Return the number of distinct altlocs of a model."""
    return len(np.unique(model.altloc_id[model.altloc_id != ""]))
