"""What of the files of two models still holds for the model that joins them."""

from __future__ import annotations

from dataclasses import replace

import gemmi

from unstill.ensembles import Multiconformer
from unstill.io.conformers.carried_cif import CarriedCif
from unstill.io.conformers.carried_pdb import CarriedPdb

OF_THE_FIT = (
    *("_refine", "_pdbx_refine", "_ccp4_refine", "_pdbx_validate_", "_pdbx_vrpt_"),
    *("_pdbx_unobs_or_zero_occ_", "_pdbx_distant_solvent_atoms"),
)
"""Beginnings of the categories that speak of one refined model, and of no other."""

REMARKS_OF_THE_FIT = ("3", "500", "525")
"""Refinement, geometry, distant waters: REMARKs of PDB files that do the same."""

_COMPONENTS = {"_chem_comp.": "id", "_chem_comp_atom.": "comp_id", "_chem_comp_bond.": "comp_id"}


def carry_over(
    joined: Multiconformer, changed: Multiconformer
) -> tuple[Multiconformer, tuple[str, ...]]:
    """Keep of the files of two joined models what is true of both, and say what is lost.

    Parameters
    ----------
    joined
        As ``join_models`` returns it: it carries what the file of the ground model held.
    changed
        The changed model, as it was read.

    Returns
    -------
    model
        Without what describes the fit of the ground model alone; with the chemical
        components of the changed one.
    lost
        A sentence for everything that is not in the model any more.
    """
    lost = []
    carried = joined.carried
    if isinstance(carried, CarriedCif):
        carried, dropped = _without_fit(carried, changed.carried)
        if dropped:
            names = ", ".join(name.strip("_.") for name in dropped)
            lost.append(f"categories about the fit of the ground model alone: {names}")
    elif isinstance(carried, CarriedPdb):
        head = tuple(line for line in carried.head if not _of_the_fit(line))
        if len(head) < len(carried.head):
            numbers = sorted({line[7:10].strip() for line in carried.head if _of_the_fit(line)})
            lost.append(f"REMARK {', '.join(numbers)}: about the fit of the ground model alone")
        carried = replace(carried, head=head)
    left = _other_categories(changed.carried)
    if left:
        lost.append(
            f"all but atoms, states, rules and chemical components of the changed model: {left}"
        )
    return joined.replace(carried=carried), tuple(lost)


def _without_fit(ground: CarriedCif, changed: object) -> tuple[CarriedCif, list[str]]:
    document = gemmi.cif.read_string(ground.document)
    block = document[ground.block]
    dropped = [
        name for name in block.get_mmcif_category_names() if name.lower().startswith(OF_THE_FIT)
    ]
    for name in dropped:
        block.find_mmcif_category(name).erase()
    if isinstance(changed, CarriedCif):
        _add_components(block, gemmi.cif.read_string(changed.document)[changed.block])
    return replace(ground, document=document.as_string()), dropped


def _add_components(block: gemmi.cif.Block, other: gemmi.cif.Block) -> None:
    for category, key in _COMPONENTS.items():
        old, more = (
            block.get_mmcif_category(category, raw=True),
            other.get_mmcif_category(category, raw=True),
        )
        if not old or key not in old or key not in more:
            continue
        known = {gemmi.cif.as_string(word) for word in old[key]}
        new = [n for n, word in enumerate(more[key]) if gemmi.cif.as_string(word) not in known]
        if new:
            for item, words in old.items():
                words += [more[item][n] if item in more else "?" for n in new]
            block.set_mmcif_category(category, old, raw=True)


def _other_categories(carried: object) -> str:
    """Say in few words what the file of the changed model holds besides."""
    if isinstance(carried, CarriedPdb):
        return f"{len(carried.head) + len(carried.tail) + len(carried.bonds)} records"
    if not isinstance(carried, CarriedCif):
        return ""
    block = gemmi.cif.read_string(carried.document)[carried.block]
    names = [name for name in block.get_mmcif_category_names() if name not in _COMPONENTS]
    return f"{len(names)} categories" if names else ""


def _of_the_fit(line: str) -> bool:
    return line.startswith("REMARK") and line[7:10].strip() in REMARKS_OF_THE_FIT
