r"""Restraints of a model: of its residues, and of the links between them.

A restraint of angle is also kept as the distance of its outer atoms,

.. math:: d_{13}^2 = d_{12}^2 + d_{23}^2 - 2 d_{12} d_{23} \cos\theta

and a flat torsion as the distance of its outer atoms, so that distances and
signed volumes are all that a solver needs.

Sources: the Chemical Component Dictionary for topology, flatness, hands and,
where nothing better is known, lengths and angles; Engh & Huber (2006),
https://doi.org/10.1107/97809553602060000695, for amino acids, peptide links
and disulfides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from unstill.chemistry.bonds import StandardValue
from unstill.chemistry.restraints.component import Component, component, signed_volume
from unstill.chemistry.restraints.links import Link, links
from unstill.errors import InputError
from unstill.shapes import Coord, Float, Int

_REACH = 1.0
"""Signed volumes (Å³) below this tell no hand."""


@dataclass(frozen=True, eq=False)
class GeometryRestraints:
    """What the coordinates of a model should keep to.

    Parameters
    ----------
    n_atoms
        Of the model.
    bonds, lengths, bond_sigmas
        ``(m, 2)`` atoms; ``(m,)`` targets and standard deviations (Å).
    angles, targets, angle_sigmas
        ``(m, 3)`` atoms, the vertex second; ``(m,)`` degrees.
    one_three, one_three_lengths, one_three_sigmas
        The same angles as distances of their outer atoms (Å).
    one_four, one_four_lengths, one_four_sigmas
        ``(m, 2)`` outer atoms of flat torsions and their distances (Å).
    chirals, volumes
        ``(m, 4)`` centre and three neighbours; ``(m,)`` signed volumes (Å³), 0 where flat.
    torsion_pairs
        ``(m, 2)`` atoms three bonds apart, which may come nearer than others.
    n_hydrogens
        ``(n_atoms,)`` that each atom has or should have, as the dictionary draws its residue.
    unknown_residues
        Names that the dictionary does not know: they have no restraints.
    inverted
        Centres (atoms) whose hand in the model is not the dictionary's; the model's is kept.
    """

    n_atoms: int
    bonds: Int[np.ndarray, "b 2"]
    lengths: Float[np.ndarray, " b"]
    bond_sigmas: Float[np.ndarray, " b"]
    angles: Int[np.ndarray, "a 3"]
    targets: Float[np.ndarray, " a"]
    angle_sigmas: Float[np.ndarray, " a"]
    one_three: Int[np.ndarray, "a 2"]
    one_three_lengths: Float[np.ndarray, " a"]
    one_three_sigmas: Float[np.ndarray, " a"]
    one_four: Int[np.ndarray, "t 2"]
    one_four_lengths: Float[np.ndarray, " t"]
    one_four_sigmas: Float[np.ndarray, " t"]
    chirals: Int[np.ndarray, "c 4"]
    volumes: Float[np.ndarray, " c"]
    torsion_pairs: Int[np.ndarray, "p 2"]
    n_hydrogens: Int[np.ndarray, " n_atoms"]
    unknown_residues: tuple[str, ...] = ()
    inverted: tuple[int, ...] = ()
    links: tuple[Link, ...] = field(default=())


def build_restraints(
    coord: Coord,
    atom_name: np.ndarray,
    res_name: np.ndarray,
    res_id: np.ndarray,
    ins_code: np.ndarray,
    chain_id: np.ndarray,
    element: np.ndarray,
) -> GeometryRestraints:
    """Build the restraints of one conformer.

    Atoms of a residue follow each other. Residues are linked where their atoms
    are: C–N and O3'–P of residues that follow in a chain and are near enough,
    SG–SG anywhere; a gap in a chain has no link. Peptides stay cis or trans, as
    they are in ``coord``.

    Parameters
    ----------
    coord
        ``(n_atoms, 3)`` in Å: decides links, cis or trans, and hands that names leave open.
    atom_name, res_name, res_id, ins_code, chain_id, element
        ``(n_atoms,)`` of one conformer.

    Raises
    ------
    InputError
        If an atom occurs twice, as with alternate locations, or arrays differ in length.
    """
    coord = np.asarray(coord, dtype=float)
    names = [str(name).strip() for name in atom_name]
    arrays = (res_name, res_id, ins_code, chain_id, element)
    if any(len(array) != len(names) for array in arrays) or coord.shape != (len(names), 3):
        raise InputError(
            "the arrays of a model differ in length",
            found=f"{len(names)} names for coordinates of shape {coord.shape}",
            fix="give one entry an atom in every array",
        )
    residues = _residues(names, res_name, res_id, ins_code, chain_id)
    parts = _Parts(coord)
    unknown = set()
    for res, atoms in residues:
        known = component(res)
        if known is None:
            unknown.add(res)
        else:
            parts.add_component(known, atoms)
    joined = links(residues, coord, np.asarray(res_id, dtype=int), np.asarray(chain_id, dtype=str))
    for link in joined:
        parts.add_link(link)
    return parts.finish(len(names), tuple(sorted(unknown)), tuple(joined))


def _residues(
    names: list[str],
    res_name: np.ndarray,
    res_id: np.ndarray,
    ins_code: np.ndarray,
    chain_id: np.ndarray,
) -> list[tuple[str, dict[str, int]]]:
    found: list[tuple[str, dict[str, int]]] = []
    last = None
    for atom, name in enumerate(names):
        key = (str(chain_id[atom]), int(res_id[atom]), str(ins_code[atom]), str(res_name[atom]))
        if key != last or (name in found[-1][1] and key[3] == "HOH"):
            found.append((key[3].strip(), {}))
            last = key
        if name in found[-1][1]:
            raise InputError(
                "an atom occurs twice in a residue",
                found=f"{name} of {key[3]} {key[1]} in chain {key[0]}",
                fix="choose one alternate location",
            )
        found[-1][1][name] = atom
    return found


class _Parts:
    """Restraints as they are gathered."""

    def __init__(self, coord: np.ndarray) -> None:
        self.coord = coord
        self.bonds: dict[tuple[int, int], tuple[float, float]] = {}
        self.angles: dict[tuple[int, int, int], tuple[float, float]] = {}
        self.flat: dict[tuple[int, int, int, int], bool] = {}
        self.chirals: list[tuple[int, ...]] = []
        self.volumes: list[float] = []
        self.inverted: list[int] = []
        self.n_hydrogens = np.zeros(len(coord), dtype=int)

    def add_component(self, known: Component, atoms: dict[str, int]) -> None:
        for name, atom in atoms.items():
            self.n_hydrogens[atom] = known.n_hydrogens.get(name, 0)
        self._add_values(known.bonds, atoms)
        self._add_values(known.angles, atoms)
        self._add_flat(known.flat_torsions, atoms)
        for names, volume in known.centres:
            if all(name in atoms for name in names):
                self._add_centre([atoms[name] for name in names], volume)

    def add_link(self, link: Link) -> None:
        self._add_values(link.values, link.atoms)
        for names in link.flat_centres:
            if all(name in link.atoms for name in names):
                self._add_centre([link.atoms[name] for name in names], 0.0)
        self._add_flat(link.flat_torsions, link.atoms)

    def _add_flat(self, torsions: Iterable[tuple[str, ...]], atoms: dict[str, int]) -> None:
        for names in torsions:
            if all(name in atoms for name in names):
                i, j, k, l = (atoms[name] for name in names)
                # Cis or trans as it stands: peptides are both, and names of equal atoms differ.
                self.flat[i, j, k, l] = _same_side(self.coord[[i, j, k, l]])

    def _add_values(self, values: Iterable[StandardValue], atoms: dict[str, int]) -> None:
        for value in values:
            if not all(name in atoms for name in value.atoms):
                continue
            if len(value.atoms) == 2:
                i, j = (atoms[name] for name in value.atoms)
                self.bonds[min(i, j), max(i, j)] = (value.value, value.esd)
            else:
                i, j, k = (atoms[name] for name in value.atoms)
                self.angles[min(i, k), j, max(i, k)] = (value.value, value.esd)

    def _add_centre(self, atoms: list[int], volume: float) -> None:
        own = signed_volume(self.coord[atoms])
        if volume * own < 0 and abs(own) > _REACH:
            # Names of prochiral atoms may be exchanged; what stands in the model stays.
            self.inverted.append(atoms[0])
            volume = -volume
        self.chirals.append(tuple(atoms))
        self.volumes.append(volume)

    def finish(
        self, n_atoms: int, unknown: tuple[str, ...], joined: tuple[Link, ...]
    ) -> GeometryRestraints:
        bonds = np.array(list(self.bonds), dtype=int).reshape(-1, 2)
        length, bond_sigma = _columns(self.bonds.values())
        kept = {key: value for key, value in self.angles.items() if self._sides(key)}
        angles = np.array(list(kept), dtype=int).reshape(-1, 3)
        target, angle_sigma = _columns(kept.values())
        first, other = (
            np.array([self.bonds[side][0] for side in sides]) for sides in self._both(kept)
        )
        outer, outer_sigma = _as_distance(first, other, target, angle_sigma)
        near = {tuple(pair) for pair in bonds.tolist()} | {(a, c) for a, _, c in kept}
        pairs = self._flat_distances(near)
        four = np.array([key for key, _ in pairs], dtype=int).reshape(-1, 2)
        return GeometryRestraints(
            n_atoms=n_atoms,
            bonds=bonds,
            lengths=length,
            bond_sigmas=bond_sigma,
            angles=angles,
            targets=target,
            angle_sigmas=angle_sigma,
            one_three=angles[:, [0, 2]],
            one_three_lengths=outer,
            one_three_sigmas=outer_sigma,
            one_four=four,
            one_four_lengths=np.array([length for _, length in pairs]),
            one_four_sigmas=np.full(len(pairs), 0.03),
            chirals=np.array(self.chirals, dtype=int).reshape(-1, 4),
            volumes=np.array(self.volumes),
            torsion_pairs=_three_apart(bonds, near, n_atoms),
            n_hydrogens=self.n_hydrogens,
            unknown_residues=unknown,
            inverted=tuple(dict.fromkeys(self.inverted)),
            links=joined,
        )

    def _sides(self, key: tuple[int, int, int]) -> bool:
        i, j, k = key
        return (min(i, j), max(i, j)) in self.bonds and (min(j, k), max(j, k)) in self.bonds

    def _both(
        self, kept: Iterable[tuple[int, int, int]]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        first = [(min(i, j), max(i, j)) for i, j, _ in kept]
        other = [(min(j, k), max(j, k)) for _, j, k in kept]
        return first, other

    def _flat_distances(self, near: set[tuple[int, ...]]) -> list[tuple[tuple[int, int], float]]:
        found: dict[tuple[int, int], float] = {}
        for (i, j, k, l), same_side in self.flat.items():
            pair = (min(i, l), max(i, l))
            sides = [(min(a, b), max(a, b)) for a, b in ((i, j), (j, k), (k, l))]
            corners = [(min(i, k), j, max(i, k)), (min(j, l), k, max(j, l))]
            if pair in near or not all(side in self.bonds for side in sides):
                continue
            if not all(corner in self.angles for corner in corners):
                continue
            a, b, c = (self.bonds[side][0] for side in sides)
            t, u = (np.radians(self.angles[corner][0]) for corner in corners)
            x = b - a * np.cos(t) - c * np.cos(u)
            y = a * np.sin(t) - c * np.sin(u) if same_side else a * np.sin(t) + c * np.sin(u)
            found[pair] = float(np.hypot(x, y))
        return list(found.items())


def _columns(values: Iterable[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(list(values), dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _as_distance(
    first: np.ndarray, other: np.ndarray, target: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the outer atoms of an angle, and its standard deviation (Å)."""
    angle = np.radians(target)
    length = np.sqrt(first**2 + other**2 - 2 * first * other * np.cos(angle))
    # dd/dθ = ab sin θ / d
    return length, np.maximum(first * other * np.sin(angle) / length * np.radians(sigma), 0.01)


def _three_apart(bonds: np.ndarray, near: set[tuple[int, ...]], n_atoms: int) -> np.ndarray:
    beside: list[list[int]] = [[] for _ in range(n_atoms)]
    for i, j in bonds.tolist():
        beside[i].append(j)
        beside[j].append(i)
    found = {
        (min(i, l), max(i, l))
        for j, k in bonds.tolist()
        for i in beside[j]
        for l in beside[k]
        if len({i, j, k, l}) == 4
    }
    return np.array(sorted(found - near), dtype=int).reshape(-1, 2)


def _same_side(coord: np.ndarray) -> bool:
    b1, b2, b3 = np.diff(coord, axis=0)
    return bool(np.cross(b1, b2) @ np.cross(b2, b3) > 0)
