"""Occupancies of alternate locations, set by their labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unstill.ensembles.ensemble import Ensemble
from unstill.errors import InputError


def set_occupancies(ensemble: Ensemble, by_label: Mapping[str, float]) -> Ensemble:
    """Give every atom of an alternate location the occupancy of its label.

    Labels that are not named get none in residues where a named one is; residues that have
    none of the named labels keep theirs.

    Parameters
    ----------
    ensemble
        Atoms with ``altloc_id``.
    by_label
        Label → occupancy.

    Raises
    ------
    InputError
        If a label is not in the model, or occupancies are negative or sum to more than one.
    """
    altloc = np.char.strip(np.asarray(ensemble.atoms.altloc_id, dtype=str))
    present = sorted(set(altloc) - {"", ".", "?"})
    unknown = [label for label in by_label if label not in present]
    if unknown:
        raise InputError(
            "a label of the occupancies is not in the model",
            found=f"{', '.join(unknown)}; the model has {', '.join(present) or 'no altlocs'}",
            fix="name labels that the model has",
        )
    values = np.array(list(by_label.values()))
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() <= 1 + 1e-6):
        raise InputError(
            "occupancies must lie between 0 and 1 and sum to at most 1",
            found=dict(by_label),
            fix="give, for example, A=0.5,B=0.5",
        )
    atoms = ensemble.atoms
    keys = np.rec.fromarrays([atoms.chain_id, atoms.res_id, atoms.ins_code])
    residue = np.unique(keys, return_inverse=True)[1].ravel()
    named = np.isin(altloc, list(by_label))
    touched = np.isin(residue, residue[named])
    has_label = ~np.isin(altloc, ["", ".", "?"])
    wanted = np.array([by_label.get(str(label), 0.0) for label in altloc])
    occupancy = np.where(touched & has_label, wanted, ensemble.occupancy)
    return ensemble.replace(occupancy=occupancy)
