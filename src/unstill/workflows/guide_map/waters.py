"""Ordered waters of a guided ensemble: the model's own are tried anew, and others added.

Waters that stood where a second place of a side chain is make way, and those
that only one state leaves room for appear with its share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import biotite.structure
import numpy as np
import scipy.optimize
import scipy.spatial

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.guidance.moves.waters import WaterMove, WaterSites
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.start import GuidedModel

_ROUNDS = 3
_NAME = "HOH"


@dataclass(frozen=True)
class WaterCount:
    """What became of waters.

    Parameters
    ----------
    kept, added, deleted
        How many.
    """

    kept: int
    added: int
    deleted: int


def ordered_waters(
    model: GuidedModel, bare: DensityObservable, state: EnsembleState
) -> tuple[GuidedModel, WaterCount]:
    """Return the model with waters that suit an ensemble, and what became of its own.

    Parameters
    ----------
    model
        What was guided.
    bare
        The map, for the atoms of the model, waters not in its context.
    state
        The ensemble.

    Returns
    -------
    GuidedModel
        Waters that stay have their rows, names and numbers; new ones come last, in the chain
        that they are nearest to, with numbers that the chain does not have.

    Raises
    ------
    InputError
        If the model has no crystal.
    """
    crystal = model.source.crystal
    if crystal is None:
        raise InputError(
            "waters need the crystal, for their neighbours may be symmetry mates",
            found="a model without a cell",
            fix="give a model with cell and space group",
        )
    own = model.water_rows
    source = model.source
    b_factor = np.broadcast_to(source.b_factor, (1, source.n_atoms)).ravel()[own]
    occupancy = np.broadcast_to(source.occupancy, (1, source.n_atoms)).ravel()[own]
    sites = WaterSites(
        source.coord[0][own].astype(float),
        np.maximum(b_factor, 2.0).astype(float),
        occupancy.astype(float),
        np.full(len(own), np.inf),
    )
    move = WaterMove(bare, crystal)
    found = move.update(state, sites, bare.d_min, n_rounds=_ROUNDS)
    n_kept = len(found.sites) - found.added
    kept = _which(sites.coord, found.sites.coord[:n_kept], own)
    made = _with_waters(model, kept, found.sites, n_kept)
    return made, WaterCount(n_kept, found.added, len(own) - n_kept)


def _which(before: np.ndarray, after: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Rows of the waters that stay: they keep their order, and hardly move."""
    if not len(after):
        return own[:0]
    apart = scipy.spatial.distance.cdist(after, before)
    _, place = scipy.optimize.linear_sum_assignment(apart)
    found: np.ndarray = own[place]
    return found


def _with_waters(
    model: GuidedModel, kept: np.ndarray, sites: WaterSites, n_kept: int
) -> GuidedModel:
    source = model.source
    gone = np.setdiff1d(model.context, kept)
    stays = np.setdiff1d(np.arange(source.n_atoms), gone)
    place = np.full(source.n_atoms, -1)
    place[stays] = np.arange(len(stays))
    fresh = slice(n_kept, len(sites))
    atoms = source.atoms[stays].copy()
    added = _new_atoms(model, sites.coord[fresh])
    for name in atoms.get_annotation_categories():
        if name not in added.get_annotation_categories():
            added.set_annotation(name, np.zeros(len(added), atoms.get_annotation(name).dtype))
    joined = atoms + added
    coord = np.concatenate([source.coord[0][stays], sites.coord[fresh]])
    values = []
    for given, new in ((source.occupancy, sites.occupancy), (source.b_factor, sites.b_factor)):
        old = np.array(np.broadcast_to(given, (1, source.n_atoms)).ravel()[stays], dtype=float)
        old[place[kept]] = new[:n_kept]
        values.append(np.concatenate([old, new[fresh]]))
    coord[place[kept]] = sites.coord[:n_kept]
    remade = Ensemble(
        joined,
        coord[None],
        occupancy=values[0],
        b_factor=values[1],
        crystal=source.crystal,
        provenance=source.provenance,
    )
    context = np.concatenate([place[kept], len(stays) + np.arange(len(added))])
    return replace(
        model, source=remade, rows=place[model.rows], context=np.sort(context.astype(int))
    )


def _new_atoms(model: GuidedModel, coord: np.ndarray) -> biotite.structure.AtomArray:
    """Oxygens in the chains that they are nearest to, numbered on from the last residue."""
    at = model.source.atoms
    chains = np.asarray(at.chain_id, dtype=str)
    last = {str(c): int(at.res_id[chains == c].max()) for c in np.unique(chains)}
    tree = scipy.spatial.cKDTree(model.atoms.coord[0])
    nearest = tree.query(coord)[1] if len(coord) else np.zeros(0, dtype=int)
    atoms = biotite.structure.AtomArray(len(coord))
    atoms.coord = coord.astype(np.float32)
    for number, other in enumerate(np.atleast_1d(nearest).tolist()):
        chain = str(model.atoms.atoms.chain_id[other])
        last[chain] += 1
        atoms.chain_id[number], atoms.res_id[number] = chain, last[chain]
    atoms.res_name[:], atoms.atom_name[:], atoms.element[:] = _NAME, "O", "O"
    atoms.hetero[:] = True
    known = at.get_annotation_categories()
    own = model.context
    for name, default in (("label_asym_id", atoms.chain_id), ("entity_id", None)):
        if name in known and len(own):
            # As the waters that are there, in the same chain if it has some.
            there = {str(chains[row]): at.get_annotation(name)[row] for row in own}
            some = at.get_annotation(name)[own[0]]
            values = [there.get(str(chain), some) for chain in atoms.chain_id]
            atoms.set_annotation(name, np.array(values, dtype=at.get_annotation(name).dtype))
        elif name in known and default is not None:
            atoms.set_annotation(name, np.array(default, dtype=at.get_annotation(name).dtype))
    return atoms
