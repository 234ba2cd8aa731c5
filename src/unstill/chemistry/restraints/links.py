"""Bonds between residues, and the lists that restraints are gathered in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from unstill.chemistry.bonds import disulfide_bond, peptide_link
from unstill.chemistry.radii import are_metals
from unstill.chemistry.residues import is_water
from unstill.chemistry.restraints.component import ANGLE_SIGMA, LENGTH_SIGMA, component
from unstill.chemistry.restraints.tables import GeometryRestraints

_PEPTIDE = 2.0
_ESTER = 2.2
_SULFUR = 2.6


class Found:
    """Restraints as they are found."""

    def __init__(self, coord: np.ndarray) -> None:
        self.coord = coord
        self.bonds: dict[tuple[int, int], tuple[float, float]] = {}
        self.angles: dict[tuple[int, int, int], tuple[float, float]] = {}
        self.planars: dict[tuple[int, ...], float] = {}
        self.planes: list[Sequence[int]] = []
        self.chirals: dict[tuple[int, ...], float] = {}
        self.links: list[tuple[int, int]] = []

    def bond(self, a: int, b: int, value: float, esd: float) -> None:
        """Add a bond."""
        self.bonds[min(a, b), max(a, b)] = (value, esd)

    def angle(self, a: int, b: int, c: int, value: float, esd: float) -> None:
        """Add an angle at b."""
        self.angles[min(a, c), b, max(a, c)] = (value, esd)

    def planar_row(self, four: Sequence[int], side: float) -> None:
        """Add four atoms in a row; +1 trans, −1 cis, 0 as the coordinates have it."""
        if side == 0:
            turn = _torsion(self.coord, four[0], four[1], four[2], four[3])
            side = -1.0 if abs(turn) < 90 else 1.0
        self.planars[tuple(four)] = side

    def plane(self, four: Sequence[int]) -> None:
        """Add four atoms in a plane."""
        self.planes.append(four)

    def chiral(self, four: Sequence[int], volume: float, *, free: bool) -> None:
        """Add a centre with its signed volume; if free, of the hand that it has."""
        if free:
            centre = self.coord[four[0]]
            has = np.linalg.det(self.coord[list(four[1:])] - centre)
            volume = float(np.copysign(volume, has))
        self.chirals[tuple(four)] = volume

    def length(self, a: int, b: int) -> float:
        """Length of a bond."""
        return self.bonds[min(a, b), max(a, b)][0]

    def apart(self, a: int, b: int) -> float:
        """Distance of two atoms in the model."""
        return float(np.linalg.norm(self.coord[a] - self.coord[b]))

    def finished(self, n_atoms: int, unknown: tuple[str, ...]) -> GeometryRestraints:
        """All as arrays, distances of 1–3 and planar 1–4 atoms from lengths and angles."""
        bonds = np.array(list(self.bonds), dtype=np.int64).reshape(-1, 2)
        length = np.array(list(self.bonds.values())).reshape(-1, 2)
        rows = [k for k in self.angles if self._bonded(k[0], k[1]) and self._bonded(k[1], k[2])]
        angles = np.array(rows, dtype=np.int64).reshape(-1, 3)
        bend = np.array([self.angles[k] for k in rows]).reshape(-1, 2)
        p = np.array([self.length(k[0], k[1]) for k in rows])
        q = np.array([self.length(k[1], k[2]) for k in rows])
        theta = np.radians(bend[:, 0])
        apart = np.sqrt(p * p + q * q - 2 * p * q * np.cos(theta))
        esd = np.maximum(p * q * np.sin(theta) / apart * np.radians(bend[:, 1]), 0.01)
        bonded = set(self.bonds) | {(min(k[0], k[2]), max(k[0], k[2])) for k in rows}
        kept: dict[tuple[int, int], tuple[tuple[int, ...], float]] = {}
        flat = list(self.planes)
        for four, side in self.planars.items():
            flat.append(four)
            ends = (min(four[0], four[3]), max(four[0], four[3]))
            value = self._planar_distance(four, side)
            if ends not in bonded and value is not None:
                kept.setdefault(ends, (four, value))
        return GeometryRestraints(
            n_atoms=n_atoms,
            bonds=bonds,
            lengths=length[:, 0],
            length_sigmas=length[:, 1],
            angles=angles,
            angle_targets=bend[:, 0],
            angle_sigmas=bend[:, 1],
            one_three=apart,
            one_three_sigmas=esd,
            planar=np.array([v[0] for v in kept.values()], dtype=np.int64).reshape(-1, 4),
            planar_distances=np.array([v[1] for v in kept.values()], dtype=float),
            planes=np.array(flat, dtype=np.int64).reshape(-1, 4),
            chirals=np.array(list(self.chirals), dtype=np.int64).reshape(-1, 4),
            volumes=np.array(list(self.chirals.values()), dtype=float),
            links=np.array(self.links, dtype=np.int64).reshape(-1, 2),
            unknown_residues=unknown,
        )

    def _bonded(self, a: int, b: int) -> bool:
        return (min(a, b), max(a, b)) in self.bonds

    def _planar_distance(self, four: Sequence[int], side: float) -> float | None:
        a, b, c, d = four
        first = self.angles.get((min(a, c), b, max(a, c)))
        second = self.angles.get((min(b, d), c, max(b, d)))
        if first is None or second is None:
            return None
        p, q, r = self.length(a, b), self.length(b, c), self.length(c, d)
        one, two = np.radians(first[0]), np.radians(second[0])
        along = q - p * np.cos(one) - r * np.cos(two)
        across = p * np.sin(one) + side * r * np.sin(two)
        return float(np.hypot(along, across))


def link_residues(
    found: Found,
    tables: list[dict[str, int]],
    kinds: list[str],
    chains: list[str],
    residue: np.ndarray,
    element: np.ndarray,
    radius: np.ndarray,
) -> None:
    """Add peptide, ester, disulfide and other links between residues."""
    for k in range(len(tables) - 1):
        one, two = tables[k], tables[k + 1]
        if chains[k] != chains[k + 1]:
            continue
        if "C" in one and "CA" in one and "N" in two and "CA" in two:
            if found.apart(one["C"], two["N"]) < _PEPTIDE:
                _peptide(found, one, two, kinds[k], kinds[k + 1])
        elif "O3'" in one and "P" in two and found.apart(one["O3'"], two["P"]) < _ESTER:
            _ester(found, one, two, kinds[k + 1])
    _by_distance(found, tables, kinds, residue, element, radius)


def _peptide(
    found: Found, one: Mapping[str, int], two: Mapping[str, int], kind: str, following: str
) -> None:
    def at(name: str) -> int | None:
        return two.get(name[1:]) if name.startswith("+") else one.get(name)

    for value in peptide_link(kind, following):
        where = [at(name) for name in value.atoms]
        atoms = [a for a in where if a is not None]
        if len(atoms) < len(where):
            continue
        if len(atoms) == 2:
            found.bond(atoms[0], atoms[1], value.value, value.esd)
        else:
            found.angle(atoms[0], atoms[1], atoms[2], value.value, value.esd)
    c, n, ca, after = one["C"], two["N"], one["CA"], two["CA"]
    found.links.append((c, n))
    if "CD" in two and following.strip() == "PRO":
        # The three angles at the nitrogen are of one plane, so the last is what is left.
        at_n = [v for k, v in found.angles.items() if k[1] == n and {k[0], k[2]} == {c, after}]
        ring = [
            v for k, v in found.angles.items() if k[1] == n and {k[0], k[2]} == {after, two["CD"]}
        ]
        if at_n and ring:
            found.angle(c, n, two["CD"], 360 - at_n[0][0] - ring[0][0], ANGLE_SIGMA)
            found.plane([n, c, after, two["CD"]])
    side = -1.0 if abs(_torsion(found.coord, ca, c, n, after)) < 90 else 1.0
    found.planar_row([ca, c, n, after], side)
    if "O" in one:
        found.plane([c, ca, one["O"], n])
        found.planar_row([one["O"], c, n, after], -side)
    if "CD" in two and following.strip() == "PRO":
        found.planar_row([ca, c, n, two["CD"]], -side)


def _ester(found: Found, one: Mapping[str, int], two: Mapping[str, int], kind: str) -> None:
    known = component(kind)
    if known is None:
        return
    lengths = {frozenset(k): v for k, v in known.bonds.items()}
    length = lengths.get(frozenset(("P", "O5'")))
    if length is None:
        return
    o3, p = one["O3'"], two["P"]
    found.bond(o3, p, *length)
    found.links.append((o3, p))
    bends = {(k[1], frozenset((k[0], k[2]))): v for k, v in known.angles.items()}
    inner = bends.get(("O5'", frozenset(("C5'", "P"))))
    if "C3'" in one and inner:
        found.angle(one["C3'"], o3, p, *inner)
    for name in ("OP1", "OP2", "O5'"):
        # The oxygen that the link replaces is OP3 of the component.
        value = bends.get(("P", frozenset((name, "OP3"))))
        if name in two and value:
            found.angle(o3, p, two[name], value[0], 2 * ANGLE_SIGMA)


def _by_distance(
    found: Found,
    tables: list[dict[str, int]],
    kinds: list[str],
    residue: np.ndarray,
    element: np.ndarray,
    radius: np.ndarray,
) -> None:
    """Disulfides; and whatever else is bonded across residues keeps its length."""
    symbols = np.char.upper(element)
    usable = ~np.isin(symbols, ["H", "D"])
    usable &= ~np.array([is_water(k) for k in kinds], dtype=bool)[residue]
    atoms = np.flatnonzero(usable)
    if len(atoms) < 2:
        return
    metal = are_metals(element)
    amino = np.array(["CA" in t and "N" in t for t in tables], dtype=bool)[residue]
    pairs = cKDTree(found.coord[atoms]).query_pairs(3.0, output_type="ndarray")
    pairs = np.sort(atoms[pairs], axis=1)
    for a, b in pairs[np.lexsort(pairs.T[::-1])].tolist():
        if residue[a] == residue[b] or (a, b) in found.bonds:
            continue
        apart = float(np.linalg.norm(found.coord[a] - found.coord[b]))
        if symbols[a] == symbols[b] == "S" and amino[a] and amino[b]:
            if apart < _SULFUR:
                _disulfide(found, tables, residue, a, b)
        elif metal[a] != metal[b]:
            other = b if metal[a] else a
            if symbols[other] != "C" and apart < radius[a] + radius[b] + 0.3:
                found.bond(a, b, apart, 0.1)
                found.links.append((a, b))
        elif not (amino[a] and amino[b]) and 1.1 < apart < radius[a] + radius[b] + 0.2:
            found.bond(a, b, apart, LENGTH_SIGMA)
            found.links.append((a, b))


def _disulfide(
    found: Found, tables: list[dict[str, int]], residue: np.ndarray, a: int, b: int
) -> None:
    standard = disulfide_bond()
    found.bond(a, b, standard.value, standard.esd)
    found.links.append((a, b))
    # Oxidised glutathione, whose disulfide the dictionary has in one component.
    known = component("GDS")
    bends = (
        []
        if known is None
        else [v for k, v in known.angles.items() if k[1].startswith("SG") and "CB" in k[0] + k[2]]
    )
    for one, two in ((a, b), (b, a)):
        carbon = tables[residue[one]].get("CB")
        if carbon is not None and bends:
            found.angle(carbon, one, two, bends[0][0], ANGLE_SIGMA)


def _torsion(coord: np.ndarray, a: int, b: int, c: int, d: int) -> float:
    one, along, two = coord[b] - coord[a], coord[c] - coord[b], coord[d] - coord[c]
    first, second = np.cross(one, along), np.cross(along, two)
    sine = np.linalg.norm(along) * (one @ second)
    return float(np.degrees(np.arctan2(sine, first @ second)))
