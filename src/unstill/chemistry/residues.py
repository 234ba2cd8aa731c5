"""Names of residues: what they are, and which of their atoms stand for each other."""

from __future__ import annotations

from functools import lru_cache

import gemmi

BACKBONE = frozenset({"N", "CA", "C", "O", "OXT"})
"""Heavy atoms of the main chain of an amino acid."""

Swaps = tuple[tuple[str, str], ...]
"""Pairs of atom names that change places together."""

# fmt: off
_WATERS = frozenset({
    "HOH", "WAT", "H2O", "DOD", "D2O", "SOL", "TIP", "TIP3", "TIP4", "TIP5", "TP3", "TP4",
    "TP5", "SPC", "SPCE", "T3P", "T4P", "OH2", "HO4", "OPC",
})

# Force fields rename residues by protonation; they are amino acids all the same.
_PROTONATED = frozenset({
    "HID", "HIE", "HIP", "HSD", "HSE", "HSP", "CYX", "CYM", "ASH", "GLH", "LYN", "LSN",
    "CYSH", "CYS2", "HISA", "HISB", "HISH", "HIS1", "HIS2", "ARGN", "ASPH", "GLUH", "LYSH",
    "QLN",
})
# fmt: on

_RING: Swaps = (("CD1", "CD2"), ("CE1", "CE2"), ("HD1", "HD2"), ("HE1", "HE2"))
_ARGININE: Swaps = (("NH1", "NH2"), ("HH11", "HH21"), ("HH12", "HH22"))

# A half turn about the last bond maps these groups on themselves. Atoms that are only prochiral
# (the methyls of Val and Leu) are not the same: to swap them is to change the molecule.
_EQUIVALENT: dict[str, tuple[Swaps, ...]] = {
    "PHE": (_RING,),
    "TYR": (_RING,),
    "PTR": (_RING,),
    "TYS": (_RING,),
    "ASP": ((("OD1", "OD2"), ("HD1", "HD2")),),
    "GLU": ((("OE1", "OE2"), ("HE1", "HE2")),),
    "ARG": (_ARGININE,),
    "KCX": ((("OQ1", "OQ2"), ("HQ1", "HQ2")),),
}


def is_amino_acid(res_name: str) -> bool:
    """Whether a residue is an amino acid, modified ones (MSE, SEP …) included.

    Names that gemmi has tabulated, those that force fields use, and every
    component of the Chemical Component Dictionary that can link as a peptide.

    Examples
    --------
    >>> [name for name in ("ALA", "MSE", "HIE", "HOH", "ZN", "GOL") if is_amino_acid(name)]
    ['ALA', 'MSE', 'HIE']
    """
    name = res_name.strip().upper()
    found = gemmi.find_tabulated_residue(name)
    if name in _PROTONATED:
        return True
    return bool(found.is_amino_acid()) if found.found() else name in _peptide_components()


def is_water(res_name: str) -> bool:
    """Whether a residue is water, heavy water included.

    Examples
    --------
    >>> is_water("HOH"), is_water("DOD"), is_water("GOL")
    (True, True, False)
    """
    return res_name.strip().upper() in _WATERS


def is_nucleotide(res_name: str) -> bool:
    """Whether a residue is a nucleotide of DNA or RNA."""
    return bool(gemmi.find_tabulated_residue(res_name.strip().upper()).is_nucleic_acid())


def equivalent_atoms(res_name: str) -> tuple[Swaps, ...]:
    """Return the name swaps that map a residue on itself.

    Each element is one half turn: all of its pairs change places together
    (names that a model lacks are passed over). Atoms that are merely prochiral
    (Val CG1/CG2, Leu CD1/CD2) are not equivalent.

    Examples
    --------
    >>> equivalent_atoms("ASP")
    ((('OD1', 'OD2'), ('HD1', 'HD2')),)
    >>> equivalent_atoms("VAL")
    ()
    """
    return _EQUIVALENT.get(res_name.strip().upper(), ())


@lru_cache(maxsize=1)
def _peptide_components() -> frozenset[str]:
    from biotite.structure.info import amino_acid_names

    return frozenset(amino_acid_names())
