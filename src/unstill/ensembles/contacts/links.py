"""Residues that a bond joins: atoms two bonds apart through it do not clash."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from scipy.spatial import cKDTree

from unstill.chemistry.radii import are_metals
from unstill.chemistry.residues import is_amino_acid, is_water
from unstill.ensembles.contacts.bonds import find_bonds
from unstill.ensembles.contacts.sequence import residues_apart
from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Bool, Int

# No bond of a metal with a non-metal is longer (Å).
_REACH = 5.0


def two_bonds_apart(
    model: Multiconformer, a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Whether two rows of different residues have a neighbour in common across a link.

    A link is a bond with a metal, a disulfide, or a bond with what is neither
    an amino acid nor water (a sugar, a bound ligand). Other contacts between
    residues at the distance of a bond are no chemistry, and excuse nothing.
    """
    if not len(a):
        return np.zeros(0, dtype=bool)
    # Bonds of the rows in question are enough, and an ensemble has many others.
    tree = cKDTree(model.coord[np.union1d(a, b)])
    near = np.flatnonzero(np.isfinite(tree.query(model.coord, distance_upper_bound=_REACH)[0]))
    bonds = find_bonds(model.take_rows(near))
    row_a, row_b = near[bonds.row_a], near[bonds.row_b]
    kept = (residues_apart(model, row_a, row_b) == 0) | _links(model, row_a, row_b)
    row_a, row_b = row_a[kept], row_b[kept]
    ones = np.ones(2 * len(row_a), dtype=np.int32)
    ends = np.concatenate([row_a, row_b]), np.concatenate([row_b, row_a])
    bonded = scipy.sparse.csr_array((ones, ends), shape=(model.n_rows, model.n_rows))
    return np.asarray((bonded[a].multiply(bonded[b])).sum(axis=1)).reshape(-1) > 0


def _links(model: Multiconformer, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    sites = model.sites
    elements = np.char.upper(np.asarray(sites.element, dtype=str))
    metal = are_metals(elements)
    names, inverse = np.unique(sites.res_name, return_inverse=True)
    water = np.array([is_water(name) for name in names], dtype=bool)[inverse]
    other = np.array([not is_amino_acid(name) for name in names], dtype=bool)[inverse] & ~water
    a, b = model.site[a], model.site[b]
    disulfide = np.isin(elements[a], ["S", "SE"]) & np.isin(elements[b], ["S", "SE"])
    bound = (other[a] | other[b]) & ~water[a] & ~water[b]
    return np.asarray(metal[a] | metal[b] | disulfide | bound, dtype=bool)
