"""The figures of one encoding within a bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.ensembles.encode.groups import ResidueGroup
from unstill.ensembles.encode.junctions import Junctions
from unstill.ensembles.encode.report import EncodedResidue, EncodeReport, count_labels
from unstill.ensembles.encode.restraints import OFF
from unstill.ensembles.multiconformer import Members, Multiconformer
from unstill.shapes import Float


def report_on(
    model: Multiconformer,
    members: Members,
    groups: Sequence[ResidueGroup],
    eps: float,
    squared: Float[np.ndarray, "n_members n_residues"],
    spread: Float[np.ndarray, " n_rows"],
    before: Junctions,
    after: Junctions,
) -> EncodeReport:
    """Return what the encoding kept and lost.

    Parameters
    ----------
    model
        Rows and states.
    members
        Copies that the model records.
    groups
        Its residues.
    eps
        The bound, in Å.
    squared
        Mean squared distance of each rebuilt residue from the given one, in Å².
    spread
        Mean square displacement inside the state of each row, in Å².
    before, after
        Bonds C–N with states at their means, and after the repair.
    """
    weights = members.weights
    rmsd = np.sqrt(squared)
    residues = tuple(
        _residue(model, group, weights @ rmsd[:, number], rmsd[:, number].max(), spread)
        for number, group in enumerate(groups)
    )
    pairs = list(after.pair.T)
    good = after.given <= OFF
    return EncodeReport(
        profile="eps",
        eps=eps,
        n_members=members.n_members,
        n_atoms=model.n_sites,
        n_rows=model.n_rows,
        n_states=len(model.states),
        n_labels=count_labels(model),
        residues=residues,
        rmsd_mean=float(weights @ rmsd.mean(axis=1)),
        rmsd_max=float(rmsd.max()),
        n_junctions=sum(len(np.unique(pair[pair >= 0])) for pair in pairs),
        n_repaired=len(np.unique(before.pair[before.broken & ~after.broken])),
        n_off=int(after.broken.sum()),
        n_off_given=int((~good).sum()),
        worst_junction=float(np.where(good, after.rebuilt, 0.0).max(initial=0.0)),
    )


def _residue(
    model: Multiconformer, group: ResidueGroup, mean: float, largest: float, spread: np.ndarray
) -> EncodedResidue:
    low, high = (
        np.searchsorted(model.site, group.atoms),
        np.searchsorted(model.site, group.atoms, side="right"),
    )
    counts = high - low
    rows = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])
    share = model.occupancy[rows]
    total = float(share.sum())
    inside = float(share @ spread[rows]) / total if total > 0 else 0.0
    return EncodedResidue(
        group.name,
        int(counts.max()),
        len(group.atoms),
        int(counts.sum()),
        float(mean),
        float(largest),
        float(np.sqrt(inside)),
    )
