"""What two models of one crystal have in common: atoms, waters, states."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from unstill.chemistry.residues import is_amino_acid, is_nucleotide, is_water
from unstill.ensembles.hierarchy.consistency import ROUNDING
from unstill.ensembles.multiconformer import Multiconformer
from unstill.errors import UnstillWarning
from unstill.shapes import Bool, Int


@dataclass(frozen=True, eq=False)
class Twins:
    """Which rows, sites and states of a changed model are those of the ground model.

    Parameters
    ----------
    changed
        The changed model, its waters and ligands numbered so that numbers agree where the
        residues do.
    site_in_ground
        ``(n_sites,)`` of the changed model: the same site of the ground model, or −1.
    twin_of_ground
        ``(n_rows,)`` of the ground model: the same row of the changed model, or −1.
    shared_states
        States of the changed model that are one with a state of the ground model.
    """

    changed: Multiconformer
    site_in_ground: Int[np.ndarray, " n_sites"]
    twin_of_ground: Int[np.ndarray, " n_rows"]
    shared_states: dict[int, int]

    @property
    def new_sites(self) -> Bool[np.ndarray, " n_sites"]:
        """Sites that only the changed model has."""
        return self.site_in_ground < 0

    @property
    def shared_rows(self) -> Bool[np.ndarray, " n_rows"]:
        """Rows of the changed model that the ground model has as well."""
        shared = np.zeros(self.changed.n_rows, dtype=bool)
        shared[self.twin_of_ground[self.twin_of_ground >= 0]] = True
        return shared

    @property
    def common_base_rows(self) -> Int[np.ndarray, " n"]:
        """Rows of the ground root that both models have."""
        twin = self.twin_of_ground
        rows = np.flatnonzero(twin >= 0)
        root = self.changed.tree.root
        return np.asarray(rows[self.changed.state[twin[rows]] == root])


def match_models(ground: Multiconformer, changed: Multiconformer, tolerance: float) -> Twins:
    """Find what two models share, within a tolerance in Å.

    Waters are matched by place, whatever their numbers. A ligand or water that
    shares its number with another residue of the ground model gets the next free one.
    A state is shared if all its rows are in the same place in both, its
    occupancy agrees within 0.005, and its parent is shared.
    """
    changed = _renumbered(ground, changed, tolerance)
    index = {key: number for number, key in enumerate(_keys(ground))}
    site = np.array([index.get(key, -1) for key in _keys(changed)], dtype=np.int64)
    same = _same_rows(ground, changed, site, tolerance)
    states = _shared_states(ground, changed, same)
    twin = np.full(ground.n_rows, -1)
    for row, other in same.items():
        a, b = int(ground.state[row]), int(changed.state[other])
        root = a == ground.tree.root and b == changed.tree.root
        if root or states.get(b) == a:
            twin[row] = other
    return Twins(changed, site, twin, states)


def _keys(model: Multiconformer) -> list[tuple[str, int, str, str, str]]:
    a = model.sites
    columns = (a.chain_id, a.res_id, a.ins_code, a.res_name, a.atom_name)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _same_rows(
    ground: Multiconformer, changed: Multiconformer, site: np.ndarray, tolerance: float
) -> dict[int, int]:
    """Ground row → changed row of the same site, the nearest within the tolerance."""
    of_site: dict[int, list[int]] = {}
    for row, number in enumerate(site[changed.site].tolist()):
        of_site.setdefault(number, []).append(row)
    pairs = []
    for row, number in enumerate(ground.site.tolist()):
        for other in of_site.get(number, []):
            apart = float(np.linalg.norm(ground.coord[row] - changed.coord[other]))
            if apart <= tolerance:
                unlike = str(ground.altloc_id[row]) != str(changed.altloc_id[other])
                pairs.append((unlike, apart, row, other))
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, row, other in sorted(pairs):
        if row not in found and other not in taken:
            found[row] = other
            taken.add(other)
    return found


def _shared_states(
    ground: Multiconformer, changed: Multiconformer, same: dict[int, int]
) -> dict[int, int]:
    found = {changed.tree.root: ground.tree.root}
    n_ground = np.bincount(ground.state, minlength=len(ground.states))
    n_changed = np.bincount(changed.state, minlength=len(changed.states))
    meet: dict[tuple[int, int], int] = {}
    for row, other in same.items():
        pair = int(changed.state[other]), int(ground.state[row])
        meet[pair] = meet.get(pair, 0) + 1
    for number in changed.tree.downward.tolist():
        for (b, a), n in sorted(meet.items()):
            close = abs(changed.populations[b] - ground.populations[a]) <= ROUNDING + 1e-9
            whole = n == n_ground[a] == n_changed[b]
            above = found.get(int(changed.tree.parent[b])) == int(ground.tree.parent[a])
            if b == number and b not in found and whole and close and above:
                found[b] = a
    shared = dict(found)
    del shared[changed.tree.root]
    return shared


def _renumbered(
    ground: Multiconformer, changed: Multiconformer, tolerance: float
) -> Multiconformer:
    """Return the changed model, in which equal numbers of waters and ligands mean equal ones."""
    sites = changed.sites.copy()
    polymer = _are(sites.res_name, lambda name: is_amino_acid(name) or is_nucleotide(name))
    moved = _water_identities(ground, changed, tolerance)
    names: dict[tuple[str, int, str], str] = {}
    for key in _keys(ground):
        names[key[:3]] = key[3]
    taken = set(names) | {key[:3] for key in _keys(changed)}
    shifted = []
    residues = changed.residue
    for residue in np.unique(residues[~polymer]).tolist():
        atoms = np.flatnonzero(residues == residue)
        first = int(atoms[0])
        own = (str(sites.chain_id[first]), int(sites.res_id[first]), str(sites.ins_code[first]))
        target = moved.get(residue)
        name = str(sites.res_name[first])
        lost = is_water(name) and own in names
        if target is None and own in names and (names[own] != name or lost):
            target = _next_free(own, taken)
            shifted.append(f"{own[0]}/{name} {own[1]} → {target[1]}")
        if target is not None:
            taken.add(target)
            sites.chain_id[atoms], sites.res_id[atoms], sites.ins_code[atoms] = target
    if shifted:
        warnings.warn(
            UnstillWarning(
                f"{len(shifted)} residues of the changed model got new numbers: "
                f"{', '.join(shifted[:6])}"
            ),
            stacklevel=4,
        )
    return changed.replace(sites=sites)


def _next_free(
    own: tuple[str, int, str], taken: set[tuple[str, int, str]]
) -> tuple[str, int, str]:
    number = max(res_id for chain, res_id, _ in taken if chain == own[0]) + 1
    return own[0], number, ""


def _water_identities(
    ground: Multiconformer, changed: Multiconformer, tolerance: float
) -> dict[int, tuple[str, int, str]]:
    """Return the identity of the ground water at the place of each changed one, each once."""
    ours, theirs = _water_rows(ground), _water_rows(changed)
    if not len(ours) or not len(theirs):
        return {}
    near = cKDTree(ground.coord[ours]).sparse_distance_matrix(
        cKDTree(changed.coord[theirs]), max(tolerance, 1e-6), output_type="coo_matrix"
    )
    found: dict[int, tuple[str, int, str]] = {}
    used: set[tuple[str, int, str]] = set()
    for place in np.lexsort((near.col, near.row, near.data)).tolist():
        site = int(ground.site[ours[near.row[place]]])
        a = ground.sites
        target = (str(a.chain_id[site]), int(a.res_id[site]), str(a.ins_code[site]))
        residue = int(changed.residue[changed.site[theirs[near.col[place]]]])
        if residue not in found and target not in used:
            found[residue] = target
            used.add(target)
    return found


def _water_rows(model: Multiconformer) -> np.ndarray:
    water = _are(model.sites.res_name, is_water)
    oxygen = np.char.upper(np.asarray(model.sites.element, dtype=str)) == "O"
    return np.flatnonzero((water & oxygen)[model.site])


def _are(names: np.ndarray, test: Callable[[str], bool]) -> Bool[np.ndarray, " n"]:
    known, inverse = np.unique(names, return_inverse=True)
    return np.array([test(str(name)) for name in known], dtype=bool)[inverse]
