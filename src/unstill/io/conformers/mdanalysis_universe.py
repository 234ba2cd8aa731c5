"""Multiconformer models as MDAnalysis universes, with their altlocs, and back."""

from __future__ import annotations

from typing import Any

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble, Multiconformer
from unstill.ensembles.multiconformer import states_from_labels
from unstill.ensembles.multiconformer.model import numbered
from unstill.io.atom_table import guess_element
from unstill.optional import require


def to_mdanalysis(model: Multiconformer) -> Any:
    """Return the rows as a universe, one atom a row.

    Returns
    -------
    MDAnalysis.Universe
        With altLocs, occupancies, tempfactors, elements, record types, insertion codes and
        chains; residues are those of chain, number and name.

    Raises
    ------
    MissingExtraError
        If MDAnalysis is not installed (``pip install 'unstill[mdanalysis]'``).
    """
    mda = require("MDAnalysis", extra="mdanalysis")
    sites = model.sites
    at = model.site
    residue = numbered(sites.chain_id, sites.res_id, sites.ins_code, sites.res_name)[at]
    first = np.unique(residue, return_index=True)[1]
    chain = numbered(sites.chain_id)[at]
    universe = mda.Universe.empty(
        model.n_rows,
        n_residues=len(first),
        n_segments=int(chain.max(initial=-1)) + 1,
        atom_resindex=residue,
        residue_segindex=chain[first],
        trajectory=True,
    )
    per_atom = {
        "names": np.asarray(sites.atom_name, dtype=object)[at],
        "elements": np.char.capitalize(np.asarray(sites.element, dtype=str)).astype(object)[at],
        "altLocs": np.asarray(model.altloc_id, dtype=str).astype(object),
        "occupancies": model.occupancy,
        "tempfactors": model.b_factor,
        "chainIDs": np.asarray(sites.chain_id, dtype=object)[at],
        "record_types": np.where(np.asarray(sites.hetero, bool), "HETATM", "ATOM")[at],
    }
    per_residue = {
        "resids": np.asarray(sites.res_id)[at][first],
        "resnums": np.asarray(sites.res_id)[at][first],
        "resnames": np.asarray(sites.res_name, dtype=object)[at][first],
        "icodes": np.char.strip(np.asarray(sites.ins_code, str)).astype(object)[at][first],
    }
    for name, values in {**per_atom, **per_residue}.items():
        universe.add_TopologyAttr(name, values)
    chains = np.asarray(sites.chain_id, dtype=object)[at]
    universe.add_TopologyAttr("segids", chains[np.unique(chain, return_index=True)[1]])
    universe.atoms.positions = model.coord
    if model.crystal is not None:
        universe.dimensions = model.crystal.unit_cell
    return universe


def from_mdanalysis(atoms: Any, *, crystal: Crystal | None = None) -> Multiconformer:
    """Return the model of the atoms of a universe, in its present frame.

    Parameters
    ----------
    atoms
        Universe or group of atoms.
    crystal
        MDAnalysis knows no space groups; give it here.

    Raises
    ------
    InputError
        If an atom stands twice under the same altloc.
    """
    group = atoms.atoms
    n = len(group)

    def of(name: str, default: Any) -> np.ndarray:
        return np.asarray(getattr(group, name)) if hasattr(group, name) else np.full(n, default)

    found = biotite.structure.AtomArray(n)
    found.atom_name = np.array(of("names", "X"), dtype=str)
    found.res_name = np.array(of("resnames", "UNK"), dtype=str)
    found.res_id = np.array(of("resids", 1), dtype=int)
    found.ins_code = np.array(of("icodes", ""), dtype=str)
    chains = np.array(of("chainIDs", ""), dtype=str)
    found.chain_id = np.where(chains == "", np.array(of("segids", "A"), dtype=str), chains)
    found.hetero = of("record_types", "ATOM") == "HETATM"
    elements = np.array(of("elements", ""), dtype=str)
    pairs = zip(elements, found.atom_name, found.res_name, strict=True)
    found.element = np.array(
        [
            str(one).upper() or guess_element(str(name), str(residue), padded=False)
            for one, name, residue in pairs
        ]
    )
    found.set_annotation("altloc_id", np.char.strip(np.array(of("altLocs", ""), dtype=str)))
    return states_from_labels(
        Ensemble(
            found,
            np.asarray(group.positions, dtype=float)[None],
            occupancy=np.array(of("occupancies", 1.0), dtype=float),
            b_factor=np.array(of("tempfactors", 0.0), dtype=float),
            crystal=crystal,
        )
    )
