"""States read off altlocs and models, and rows as plain atoms again."""

from __future__ import annotations

import numpy as np

from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.multiconformer.members import Members
from unstill.ensembles.multiconformer.model import Multiconformer, numbered
from unstill.ensembles.multiconformer.tree import ROOT, State

_IDENTITY = ("chain_id", "res_id", "ins_code", "res_name", "atom_name")


def states_from_labels(ensemble: Ensemble) -> Multiconformer:
    """Read states off the altlocs and the members of an ensemble, nothing else.

    One state a residue and altloc, child of the root, named
    ``chain/residue/altloc``; its occupancy is the median of its atoms'. Where
    there are several members, each is a state ``M1, M2, …`` of its own and
    what altlocs it has are children of that.

    Parameters
    ----------
    ensemble
        As ``io.read_structure`` returns it: altlocs are atoms of their own (annotation
        ``altloc_id``, may be missing).

    Returns
    -------
    Multiconformer
        Not ``stated``; rows are in the order of the atoms, member by member.
        Members are recorded where no atom has an altloc and there are several.

    Raises
    ------
    InputError
        If an atom stands twice under the same altloc.
    """
    atoms = ensemble.atoms
    n_atoms, n_members = ensemble.n_atoms, ensemble.n_members
    altloc = _altlocs(ensemble)
    site = numbered(*(atoms.get_annotation(name) for name in _IDENTITY))
    first = np.unique(site, return_index=True)[1]
    sites = atoms[first]
    if "altloc_id" in sites.get_annotation_categories():
        sites.del_annotation("altloc_id")
    residue = numbered(atoms.chain_id, atoms.res_id, atoms.ins_code)
    # 0 is what every copy (or member) has; residues and labels are counted from 1.
    local = np.zeros(n_atoms, dtype=np.int64)
    held = np.flatnonzero(altloc != "")
    local[held] = numbered(residue[held], altloc[held]) + 1
    names = [""] * int(local.max(initial=0) + 1)
    for atom in held[::-1].tolist():
        number = f"{atoms.res_id[atom]}{str(atoms.ins_code[atom]).strip()}"
        names[local[atom]] = f"{atoms.chain_id[atom]}/{number}/{altloc[atom]}".replace(",", ";")
    occupancy = np.broadcast_to(ensemble.occupancy, (n_members, n_atoms))
    states = [State(ROOT)]
    state = np.empty((n_members, n_atoms), dtype=np.int64)
    for member, weight in enumerate(ensemble.weights.tolist()):
        base = ROOT
        if n_members > 1:
            base = f"M{member + 1}"
            details = f"model {member + 1}"
            states.append(State(base, ROOT, details=details, occupancy=weight))
        start = len(states) - 1
        prefix = f"{base}/" if n_members > 1 else ""
        for place, name in enumerate(names[1:], start=1):
            share = float(np.median(occupancy[member, local == place])) * weight
            states.append(State(f"{prefix}{name}", base, occupancy=share))
        state[member] = local + start
    members = None
    if n_members > 1 and not len(held):
        in_state = np.eye(n_members, dtype=bool)
        in_state = np.concatenate([np.ones((n_members, 1), dtype=bool), in_state], axis=1)
        members = Members(ensemble.weights, in_state, frames=ensemble.frames)
    u_aniso = ensemble.u_aniso
    shape = (n_members, n_atoms)
    return Multiconformer(
        sites,
        np.tile(site, n_members),
        state.reshape(-1),
        np.asarray(ensemble.coord, dtype=float).reshape(-1, 3),
        (occupancy * ensemble.weights[:, None]).reshape(-1)
        if n_members > 1
        else occupancy.reshape(-1).copy(),
        np.broadcast_to(ensemble.b_factor, shape).reshape(-1).copy(),
        np.tile(altloc, n_members),
        tuple(states),
        u_aniso=None
        if u_aniso is None
        else np.broadcast_to(u_aniso, (*shape, 6)).reshape(-1, 6).copy(),
        members=members,
        crystal=ensemble.crystal,
        stated=False,
        source_row=np.arange(n_members * n_atoms),
        provenance=ensemble.provenance,
    )


def atoms_of_rows(model: Multiconformer) -> Ensemble:
    """Return the rows as atoms of one member, with altlocs and partial occupancies.

    This is what structure factors of a multiconformer model are computed from.
    """
    atoms = model.sites[model.site]
    atoms.set_annotation("altloc_id", np.asarray(model.altloc_id, dtype=str))
    return Ensemble(
        atoms,
        model.coord[None],
        occupancy=model.occupancy,
        b_factor=model.b_factor,
        u_aniso=model.u_aniso,
        crystal=model.crystal,
        provenance=model.provenance,
    )


def _altlocs(ensemble: Ensemble) -> np.ndarray:
    if "altloc_id" not in ensemble.atoms.get_annotation_categories():
        return np.full(ensemble.n_atoms, "", dtype="U1")
    found = np.char.strip(np.asarray(ensemble.atoms.altloc_id, dtype=str))
    # What stands for "no label" in files is no label.
    return np.where((found == ".") | (found == "?"), "", found)
