"""Residues as the encoder sees them: backbone, side chain, and the bond to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.multiconformer.model import numbered
from unstill.shapes import Bool, Int

_PEPTIDE = frozenset(("N", "CA", "C"))
# Side chains begin after CB, which moves with the backbone.
_BACKBONE = frozenset(
    {
        *("N", "CA", "C", "O", "OXT", "CB"),
        *("H", "HN", "H1", "H2", "H3", "HT1", "HT2", "HT3", "HA", "HA1", "HA2", "HA3", "HXT"),
        *("D", "DA", "DA2", "DA3"),
    }
)
_LINKS = (("C", "N"), ("O3'", "P"))
_LONGEST_LINK = 2.0
"""Å; atoms of consecutive residues further apart in most members are not bonded."""


@dataclass(frozen=True, eq=False)
class ResidueGroup:
    """The atoms of one residue, by their index in the ensemble.

    Parameters
    ----------
    name
        ``chain/name number``.
    backbone
        Atoms that take part in segments: the backbone and CB of an amino acid, or all
        atoms of anything else.
    side_chain
        The other atoms; may be empty.
    link
        Atoms of the bond to the next residue of the list, this one's first, or ``None``.
    """

    name: str
    backbone: Int[np.ndarray, " n_backbone"]
    side_chain: Int[np.ndarray, " n_side_chain"]
    link: tuple[int, int] | None = None

    @property
    def atoms(self) -> Int[np.ndarray, " n_atoms"]:
        """Backbone, then side chain."""
        return np.concatenate([self.backbone, self.side_chain])


def find_residue_groups(
    ensemble: Ensemble, present: Bool[np.ndarray, "n_members n_atoms"]
) -> list[ResidueGroup]:
    """Return the residues in the order of the atoms, with the bonds between them."""
    atoms = ensemble.atoms
    residue = numbered(atoms.chain_id, atoms.res_id, atoms.ins_code)
    order = np.argsort(residue, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(residue[order])) + 1) if len(order) else []
    names = np.char.strip(np.asarray(atoms.atom_name, dtype=str))
    found: list[ResidueGroup] = []
    for number, mine in enumerate(members):
        link = None
        if number + 1 < len(members):
            link = _link(ensemble, present, names, mine, members[number + 1])
        found.append(_group(ensemble, names, mine, link))
    return found


def bonded_runs(groups: list[ResidueGroup]) -> list[range]:
    """Return the chains of residues that are bonded one to the next."""
    stops = [number + 1 for number, group in enumerate(groups) if group.link is None]
    starts = [0, *stops[:-1]]
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True)]


def _group(
    ensemble: Ensemble, names: np.ndarray, mine: np.ndarray, link: tuple[int, int] | None
) -> ResidueGroup:
    first = int(mine[0])
    a = ensemble.atoms
    ins = str(a.ins_code[first]).strip()
    label = f"{a.chain_id[first]}/{a.res_name[first]} {a.res_id[first]}{ins}"
    held = np.array([name in _BACKBONE for name in names[mine]], dtype=bool)
    if not _PEPTIDE.issubset(names[mine].tolist()):
        held[:] = True
    return ResidueGroup(label, mine[held], mine[~held], link)


def _link(
    ensemble: Ensemble,
    present: np.ndarray,
    names: np.ndarray,
    mine: np.ndarray,
    following: np.ndarray,
) -> tuple[int, int] | None:
    for here, there in _LINKS:
        left, right = mine[names[mine] == here], following[names[following] == there]
        if not len(left) or not len(right):
            continue
        a, b = int(left[0]), int(right[0])
        both = present[:, a] & present[:, b]
        lengths = np.linalg.norm(ensemble.coord[both, a] - ensemble.coord[both, b], axis=-1)
        if len(lengths) and np.median(lengths) < _LONGEST_LINK:
            return a, b
    return None
