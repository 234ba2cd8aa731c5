"""Standard lengths and angles of bonds: the amino acids, the peptide link, disulfides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

# fmt: off
_RESIDUES = frozenset({
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET",
    "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL",
})
# fmt: on
# Names of force fields, of the residue with the same heavy atoms.
_PARENT = {
    **dict.fromkeys(["HID", "HIE", "HIP", "HSD", "HSE", "HSP"], "HIS"),
    **dict.fromkeys(["CYX", "CYM"], "CYS"),
    "ASH": "ASP",
    "GLH": "GLU",
    "LYN": "LYS",
}


@dataclass(frozen=True)
class StandardValue:
    """A length between two atoms (Å) or an angle between three (degrees).

    Parameters
    ----------
    atoms
        Two or three names; ``+`` before one says that it is of the next residue.
    value, esd
        What is expected, and its standard deviation.
    """

    atoms: tuple[str, ...]
    value: float
    esd: float


def standard_bonds(res_name: str) -> tuple[StandardValue, ...]:
    """Return the lengths of the bonds between heavy atoms of an amino acid.

    Engh & Huber (2006), International Tables for Crystallography F, 18.3,
    doi:10.1107/97809553602060000695.

    Parameters
    ----------
    res_name
        One of the 20, or a name that force fields give one of them.

    Returns
    -------
    tuple
        Lengths in Å; empty where none are known.

    Examples
    --------
    >>> [(b.atoms, b.value) for b in standard_bonds("GLY")]
    [(('N', 'CA'), 1.456), (('CA', 'C'), 1.514), (('C', 'O'), 1.232)]
    """
    return tuple(v for v in _of_residue(_standard_name(res_name)) if len(v.atoms) == 2)


def standard_angles(res_name: str) -> tuple[StandardValue, ...]:
    """Return the angles between heavy atoms of an amino acid (degrees).

    Source and names as for :func:`standard_bonds`.
    """
    return tuple(v for v in _of_residue(_standard_name(res_name)) if len(v.atoms) == 3)


def peptide_link(res_name: str, next_name: str) -> tuple[StandardValue, ...]:
    """Return the length and the three angles between a residue and the next one.

    The bond C–N first; names that begin with ``+`` are of the next residue.
    Proline as in a trans peptide. Source as for :func:`standard_bonds`.

    Parameters
    ----------
    res_name, next_name
        Names of the two residues. Those that are not tabulated count as any other.

    Examples
    --------
    >>> [(v.atoms, v.value) for v in peptide_link("ALA", "PRO")][:2]
    [(('C', '+N'), 1.338), (('CA', 'C', '+N'), 117.1)]
    """
    first, second = _standard_name(res_name), _standard_name(next_name)
    found: dict[tuple[str, ...], StandardValue] = {}
    for line in _table():
        if line.next_name and line.fits(first) and line.next_name in ("*", second):
            # Special values stand after general ones; what the next residue asks for wins.
            found[line.standard.atoms] = line.standard
    return tuple(found.values())


def disulfide_bond() -> StandardValue:
    """Return the length of the bond SG–SG. Source as for :func:`standard_bonds`."""
    return next(line.standard for line in _table() if line.standard.atoms == ("SG", "SG"))


def bonded_names(res_name: str) -> frozenset[tuple[str, str]]:
    """Return the pairs of names of an entry of the Chemical Component Dictionary that are bonded.

    Hydrogens included, each pair in the order of the alphabet; empty where the
    dictionary that biotite brings does not know the residue.
    """
    from biotite.structure.info import bonds_in_residue

    pairs = bonds_in_residue(_standard_name(res_name))
    return frozenset((a, b) if a < b else (b, a) for a, b in pairs)


@dataclass(frozen=True)
class _Line:
    residues: frozenset[str]
    next_name: str
    standard: StandardValue

    def fits(self, res_name: str) -> bool:
        return "*" in self.residues or res_name in self.residues


@lru_cache(maxsize=1)
def _table() -> tuple[_Line, ...]:
    text = (files("unstill.chemistry") / "engh_huber.csv").read_text("utf-8")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")][1:]
    return tuple(
        _Line(
            frozenset(residues.split()),
            next_name,
            StandardValue(tuple(atoms.split("-")), float(value), float(esd)),
        )
        for atoms, residues, next_name, value, esd in rows
    )


@lru_cache(maxsize=64)
def _of_residue(res_name: str) -> tuple[StandardValue, ...]:
    if res_name not in _RESIDUES:
        return ()
    found: dict[tuple[str, ...], StandardValue] = {}
    for line in _table():
        inside = not line.next_name and line.standard.atoms != ("SG", "SG")
        if inside and line.fits(res_name):
            found[line.standard.atoms] = line.standard
    return tuple(found.values())


def _standard_name(res_name: str) -> str:
    name = res_name.strip().upper()
    return _PARENT.get(name, name)
