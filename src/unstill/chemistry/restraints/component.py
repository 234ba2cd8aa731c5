"""Ideal geometry of one component: the dictionary's coordinates, corrected by chemistry.

The Chemical Component Dictionary (through biotite) gives bonds and ideal
coordinates. Where :mod:`unstill.chemistry.bonds` has Engh and Huber's values,
they win; the ideal coordinates of acids are protonated, so carboxylates take
the values of aspartate. What is planar follows from the bonds, since ideal
coordinates have pyramidal amides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations

import numpy as np

from unstill.chemistry.bonds import standard_angles, standard_bonds
from unstill.chemistry.residues import is_amino_acid

LENGTH_SIGMA = 0.02
ANGLE_SIGMA = 2.0
_DOUBLE = {2, 3, 4, 5, 6, 7, 9}
_BACKBONE = {"N", "CA", "C", "O"}
# The dictionary's protonation, of the residue with the same heavy atoms.
_SAME = {
    **dict.fromkeys(["HID", "HIE", "HIP", "HSD", "HSE", "HSP"], "HIS"),
    **dict.fromkeys(["CYX", "CYM"], "CYS"),
    "ASH": "ASP",
    "GLH": "GLU",
    "LYN": "LYS",
    "WAT": "HOH",
}


@dataclass(frozen=True)
class IdealComponent:
    """Restraints by atom name."""

    bonds: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    angles: dict[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)
    planar: dict[tuple[str, str, str, str], float] = field(default_factory=dict)
    centres: tuple[tuple[str, ...], ...] = ()
    chirals: dict[tuple[str, str, str, str], float] = field(default_factory=dict)
    either: frozenset[str] = frozenset()
    """Centres with two like arms, outside amino acids: which hand is a matter of names."""


@lru_cache(maxsize=512)
def component(res_name: str) -> IdealComponent | None:
    """Return the restraints of a component, hydrogens included; None if it is unknown."""
    from biotite.structure.info import residue

    name = res_name.strip().upper()
    try:
        atoms = residue(_SAME.get(name, name))
    except KeyError:
        return None
    names = [str(n) for n in atoms.atom_name]
    elements = [str(e).upper() for e in atoms.element]
    place = np.asarray(atoms.coord, dtype=float)
    order: dict[tuple[int, int], int] = {}
    near: list[list[int]] = [[] for _ in names]
    for a, b, kind in atoms.bonds.as_array().tolist():
        order[a, b] = order[b, a] = kind
        near[a].append(b)
        near[b].append(a)
    flat = _flat(elements, near, order)
    bonds, angles = _lengths_and_angles(name, names, elements, place, near, order)
    return IdealComponent(
        bonds,
        angles,
        _planar(names, elements, place, near, order, flat),
        tuple(
            (names[c], *(names[n] for n in near[c]))
            for c in np.flatnonzero(flat).tolist()
            if len(near[c]) == 3
        ),
        _chirals(names, elements, place, near, flat),
        frozenset() if is_amino_acid(name) else _either(names, elements, near),
    )


def _flat(
    elements: list[str], near: list[list[int]], order: dict[tuple[int, int], int]
) -> np.ndarray:
    """Tell which atoms are sp²; a nitrogen next to one is."""
    flat = np.zeros(len(elements), dtype=bool)
    for a, kin in enumerate(near):
        if elements[a] in ("C", "N") and len(kin) <= 3:
            flat[a] = any(order[a, b] in _DOUBLE for b in kin)
    unsaturated = flat.copy()
    for a, kin in enumerate(near):
        if elements[a] == "N" and len(kin) <= 3:
            flat[a] |= any(unsaturated[b] and elements[b] == "C" for b in kin)
    return flat


def _lengths_and_angles(
    name: str,
    names: list[str],
    elements: list[str],
    place: np.ndarray,
    near: list[list[int]],
    order: dict[tuple[int, int], int],
) -> tuple[
    dict[tuple[str, str], tuple[float, float]], dict[tuple[str, str, str], tuple[float, float]]
]:
    bonds: dict[tuple[str, str], tuple[float, float]] = {}
    angles: dict[tuple[str, str, str], tuple[float, float]] = {}
    for a, b in sorted({(min(p), max(p)) for p in order}):
        length = float(np.linalg.norm(place[a] - place[b]))
        bonds[names[a], names[b]] = (length, LENGTH_SIGMA)
    for c, kin in enumerate(near):
        for a, b in combinations(kin, 2):
            arm, other = place[a] - place[c], place[b] - place[c]
            sine = np.linalg.norm(np.cross(arm, other))
            found = float(np.degrees(np.arctan2(sine, arm @ other)))
            angles[names[a], names[c], names[b]] = (found, ANGLE_SIGMA)
    for c, kin in enumerate(near):
        ends = [b for b in kin if elements[b] == "O" and _heavy(b, elements, near) == 1]
        if elements[c] == "C" and len(ends) == 2 and len(kin) == 3:
            _carboxylate(names, c, ends, kin, bonds, angles)
    inner = standard_bonds(name)
    bends = standard_angles(name)
    if not inner and is_amino_acid(name) and set(names) >= _BACKBONE:
        inner = tuple(v for v in standard_bonds("ALA") if set(v.atoms) <= _BACKBONE)
        bends = tuple(v for v in standard_angles("ALA") if set(v.atoms) <= _BACKBONE)
    for value in inner:
        pair = (value.atoms[0], value.atoms[1])
        pair = pair if pair in bonds else (pair[1], pair[0])
        if pair in bonds:
            bonds[pair] = (value.value, value.esd)
    for value in bends:
        row = (value.atoms[0], value.atoms[1], value.atoms[2])
        row = row if row in angles else (row[2], row[1], row[0])
        if row in angles:
            angles[row] = (value.value, value.esd)
    return bonds, angles


def _carboxylate(
    names: list[str],
    centre: int,
    ends: list[int],
    kin: list[int],
    bonds: dict[tuple[str, str], tuple[float, float]],
    angles: dict[tuple[str, str, str], tuple[float, float]],
) -> None:
    length = {v.atoms: v for v in standard_bonds("ASP")}[("CG", "OD1")]
    bends = {v.atoms: v for v in standard_angles("ASP")}
    outer = bends[("CB", "CG", "OD1")]
    for a in ends:
        for pair in ((names[centre], names[a]), (names[a], names[centre])):
            if pair in bonds:
                bonds[pair] = (length.value, length.esd)
    for a, b in combinations(kin, 2):
        both = a in ends and b in ends
        value = 360 - 2 * outer.value if both else outer.value
        angles[names[a], names[centre], names[b]] = (value, outer.esd)


def _heavy(atom: int, elements: list[str], near: list[list[int]]) -> int:
    return sum(elements[b] not in ("H", "D") for b in near[atom])


def _planar(
    names: list[str],
    elements: list[str],
    place: np.ndarray,
    near: list[list[int]],
    order: dict[tuple[int, int], int],
    flat: np.ndarray,
) -> dict[tuple[str, str, str, str], float]:
    """Rows of four about bonds that do not turn; +1 trans, −1 cis, 0 if names say nothing."""
    found: dict[tuple[str, str, str, str], float] = {}
    for b, c in sorted({(min(p), max(p)) for p in order}):
        conjugated = order[b, c] in _DOUBLE or "N" in (elements[b], elements[c])
        if not (flat[b] and flat[c] and conjugated):
            continue
        for a in near[b]:
            for d in near[c]:
                if a in (c, d) or d == b:
                    continue
                along = (place[c] - place[b]) / np.linalg.norm(place[c] - place[b])
                one, two = place[a] - place[b], place[d] - place[c]
                one, two = one - along * (one @ along), two - along * (two @ along)
                if _twin(a, b, elements, near) or _twin(d, c, elements, near):
                    found[names[a], names[b], names[c], names[d]] = 0.0
                    continue
                cosine = one @ two / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-9)
                if abs(cosine) > 0.8:
                    found[names[a], names[b], names[c], names[d]] = -float(np.sign(cosine))
    return found


def _twin(end: int, centre: int, elements: list[str], near: list[list[int]]) -> bool:
    """Whether an atom ends a branch beside another one of its kind (NH1 and NH2 of Arg)."""
    return any(
        elements[b] == elements[end]
        and _heavy(b, elements, near) == _heavy(end, elements, near) == 1
        for b in near[centre]
        if b != end
    )


def _chirals(
    names: list[str],
    elements: list[str],
    place: np.ndarray,
    near: list[list[int]],
    flat: np.ndarray,
) -> dict[tuple[str, str, str, str], float]:
    found: dict[tuple[str, str, str, str], float] = {}
    for c, kin in enumerate(near):
        heavy = [b for b in kin if elements[b] not in ("H", "D")]
        if elements[c] != "C" or flat[c] or len(kin) != 4 or len(heavy) < 3:
            continue
        volume = float(np.linalg.det(place[heavy[:3]] - place[c]))
        if abs(volume) > 0.5:
            found[names[c], names[heavy[0]], names[heavy[1]], names[heavy[2]]] = volume
    return found


def _either(names: list[str], elements: list[str], near: list[list[int]]) -> frozenset[str]:
    """Find centres two of whose neighbours have the same surroundings, however far one looks."""
    rank: list[int] = [0] * len(names)
    keys: list[object] = list(elements)
    while True:
        order = {key: k for k, key in enumerate(sorted(set(map(repr, keys))))}
        fresh = [order[repr(key)] for key in keys]
        if len(set(fresh)) == len(set(rank)) and rank != [0] * len(names):
            break
        rank = fresh
        keys = [(rank[a], sorted(rank[b] for b in kin)) for a, kin in enumerate(near)]
        if len(order) == len(names):
            break
    return frozenset(
        names[c] for c, kin in enumerate(near) if len({rank[b] for b in kin}) < len(kin)
    )
