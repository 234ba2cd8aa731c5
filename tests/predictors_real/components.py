"""Components in the form that the recipes make molecules and dictionaries of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import biotite.structure.info

CANONICAL = (
    "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL UNK "
    "A G C U N DA DG DC DT DN GOL"
)


def component(name: str) -> dict[str, Any]:
    """A component as the dictionary has it: atoms, bonds and ideal coordinates."""
    atoms = biotite.structure.info.residue(name)
    table = biotite.structure.info.get_from_ccd("chem_comp_atom", name, "pdbx_leaving_atom_flag")
    names = biotite.structure.info.get_from_ccd("chem_comp_atom", name, "atom_id").as_array()
    leaving = dict(zip(names, table.as_array() == "Y", strict=True))
    kind = biotite.structure.info.get_from_ccd("chem_comp", name, "type").as_item()
    return {
        "type": kind,
        "letter": biotite.structure.info.one_letter_code(name) or "?",
        "atoms": [
            (
                atom.atom_name,
                atom.element.capitalize(),
                int(atom.charge),
                bool(leaving[atom.atom_name]),
            )
            for atom in atoms
        ],
        "bonds": [
            (int(i), int(j), {5: 1, 6: 2}.get(int(order), int(order)))
            for i, j, order in atoms.bonds.as_array()
        ],
        "coord": atoms.coord.tolist(),
    }


def write_components(path: Path) -> None:
    """All that a polymer is made of, and glycerol."""
    path.write_text(json.dumps({name: component(name) for name in CANONICAL.split()}))
