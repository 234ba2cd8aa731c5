"""The residues that a reader should look at first, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from unstill.shapes import Float
from unstill.validation.model_scores import ModelScores
from unstill.validation.ramachandran import CLASSES
from unstill.validation.residue_table import atom_label

LOW_RSCC = 0.8
"""Correlation with the map below which a residue is listed."""
SEVERE = 0.9
"""Å of overlap that no rotation of a hydrogen explains."""


@dataclass(frozen=True)
class ResidueProblems:
    """What is wrong with one residue.

    Parameters
    ----------
    row
        In the table of residues.
    label, chain_id, res_id, ins_code, res_name
        Its names.
    rscc, rmsf
        NaN where not measured.
    problems
        In words, the gravest first.
    gravity
        Sum over the problems, for sorting: each by the weight of the members that have it.
    """

    row: int
    label: str
    chain_id: str
    res_id: int
    ins_code: str
    res_name: str
    rscc: float
    rmsf: float
    problems: tuple[str, ...]
    gravity: float


@dataclass
class _Found:
    gravity: float = 0.0
    said: list[tuple[float, str]] = field(default_factory=list)

    def add(self, gravity: float, text: str) -> None:
        self.gravity += gravity
        self.said.append((gravity, text))


def worst_residues(
    scores: ModelScores,
    residue_rscc: Float[np.ndarray, " n_residues"] | None = None,
    more: dict[int, list[tuple[float, str]]] | None = None,
) -> list[ResidueProblems]:
    """List residues with a problem, the gravest first.

    Gravity is 1 for a Ramachandran outlier and for a clash of 0.9 Å or more, 0.5 for other
    clashes and for a rotamer outlier, and 2 (1 − RSCC/0.8) in the map,
    each times the weight of the members that have it; clashes of a residue count together.

    Parameters
    ----------
    scores
        Of the model.
    residue_rscc
        Correlation with the data.
    more
        Other problems by row: gravity and words.
    """
    found: dict[int, _Found] = {}
    _backbones(scores, found)
    _side_chains(scores, found)
    _clashes(scores, found)
    for row, said in (more or {}).items():
        for gravity, text in said:
            found.setdefault(row, _Found()).add(gravity, text)
    rscc = np.full(scores.residues.n, np.nan) if residue_rscc is None else residue_rscc
    for row in np.flatnonzero(rscc < LOW_RSCC).tolist():
        gravity = 2 * (1 - max(float(rscc[row]), 0.0) / LOW_RSCC)
        found.setdefault(row, _Found()).add(gravity, f"RSCC {rscc[row]:.2f}")
    table = scores.residues
    listed = [
        ResidueProblems(
            row,
            table.label(row),
            table.chain_id[row],
            table.res_id[row],
            table.ins_code[row],
            table.res_name[row],
            float(rscc[row]),
            float(scores.rmsf[row]),
            tuple(text for _, text in sorted(one.said, key=lambda said: -said[0])),
            one.gravity,
        )
        for row, one in found.items()
        if scores.chosen[row]
    ]
    return sorted(listed, key=lambda one: (-one.gravity, one.row))


def _backbones(scores: ModelScores, found: dict[int, _Found]) -> None:
    torsions = scores.ramachandran.torsions
    share = scores.weights @ (scores.ramachandran.verdict == CLASSES.index("outlier"))
    for number in np.flatnonzero(share > 0).tolist():
        row = int(scores.residues.of_atom[torsions.atom[number]])
        worst = int(np.argmin(scores.ramachandran.verdict[:, number]))
        text = (
            f"Ramachandran outlier{_of(torsions.altloc[number])} "
            f"(φ {torsions.phi[worst, number]:.0f}°, ψ {torsions.psi[worst, number]:.0f}°)"
        )
        found.setdefault(row, _Found()).add(
            float(share[number]), text + _share(scores, share[number])
        )


def _side_chains(scores: ModelScores, found: dict[int, _Found]) -> None:
    chains, rotamers = scores.side_chains, scores.rotamers
    outlier = rotamers.verdict == 0
    share = scores.weights @ outlier
    for number in np.flatnonzero(share > 0).tolist():
        row = int(scores.residues.of_atom[chains.atom[number]])
        member = int(np.argmax(outlier[:, number]))
        chi = chains.chi[member, number]
        angles = ", ".join(f"{angle:.0f}°" for angle in chi[np.isfinite(chi)].tolist())
        text = (
            f"rotamer outlier{_of(chains.altloc[number])} (χ {angles}; nearest "
            f"{rotamers.name[member][number]})"
        )
        text += _share(scores, share[number])
        found.setdefault(row, _Found()).add(0.5 * float(share[number]), text)


def _clashes(scores: ModelScores, found: dict[int, _Found]) -> None:
    table = scores.residues
    gravity = np.zeros(table.n)
    worst: dict[int, tuple[float, int, int]] = {}
    count = np.zeros(table.n)
    for member, (pairs, overlap) in enumerate(
        zip(scores.clashes.pairs, scores.clashes.overlap, strict=True)
    ):
        weight = scores.weights[member]
        grave = np.zeros(table.n)
        for (first, second), size in zip(pairs.tolist(), overlap.tolist(), strict=True):
            for own, other in ((first, second), (second, first)):
                row = int(table.of_atom[own])
                grave[row] = max(grave[row], 1.0 if size >= SEVERE else 0.5)
                count[row] += weight
                if size > worst.get(row, (0.0, 0, 0))[0]:
                    worst[row] = size, own, other
        gravity += weight * grave
    for row, (size, own, other) in worst.items():
        name = atom_label(scores.ensemble, own).rpartition("/")[2]
        number = f"{count[row]:.3g}"
        text = f"clash of {size:.2f} Å, {name} with {atom_label(scores.ensemble, other)}"
        counted = "in all" if len(scores.weights) == 1 else "a member"
        text += f" ({number} {counted})" if count[row] > 1 else ""
        found.setdefault(row, _Found()).add(float(gravity[row]), text)


def _of(altloc: str) -> str:
    return f" of {altloc}" if altloc else ""


def _share(scores: ModelScores, share: float) -> str:
    return f", {100 * share:.0f} % of the ensemble" if len(scores.weights) > 1 else ""
