"""What the Chemical Component Dictionary says of one residue: bonds, angles, planes, hands.

Lengths and angles are those of the ideal coordinates; for the twenty amino
acids Engh and Huber's values take their place. The dictionary is the one that
biotite brings (wwPDB, https://doi.org/10.1093/bioinformatics/btu789).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from unstill.chemistry.bonds import StandardValue, standard_angles, standard_bonds

BOND_SIGMA, ANGLE_SIGMA = 0.02, 2.0
"""Standard deviations (Å, degrees) of targets that come from ideal coordinates."""
_MULTIPLE = {2, 3, 4, 5, 6, 7, 9}
_FLAT = 12.0
"""Torsions (degrees) of ideal coordinates that are this near to 0 or 180 can be flat."""


@dataclass(frozen=True)
class Component:
    """Restraints inside one residue, by the names of atoms.

    Parameters
    ----------
    bonds, angles
        Targets with their standard deviations.
    centres
        Atom, three neighbours, and the signed volume (Å³) of their bonds; 0 where flat.
    flat_torsions
        Chains of four atoms that lie in a plane.
    n_hydrogens
        Hydrogens on a heavy atom, by its name, as the dictionary draws the residue.
    """

    bonds: tuple[StandardValue, ...]
    angles: tuple[StandardValue, ...]
    centres: tuple[tuple[tuple[str, ...], float], ...]
    flat_torsions: tuple[tuple[str, ...], ...]
    n_hydrogens: dict[str, int]


@lru_cache(maxsize=512)
def component(res_name: str) -> Component | None:
    """Return the restraints of a residue; ``None`` where the dictionary does not know it."""
    from biotite.structure import info

    try:
        ideal = info.residue(res_name)
    except KeyError:
        return None
    if ideal.bonds is None or not np.isfinite(ideal.coord).all():
        return None
    names = [str(name) for name in ideal.atom_name]
    coord = np.asarray(ideal.coord, dtype=float)
    order = {(int(i), int(j)): int(kind) for i, j, kind in ideal.bonds.as_array()}
    order |= {(j, i): kind for (i, j), kind in order.items()}
    near = _neighbours(order, len(names))
    heavy = np.asarray(ideal.element, dtype=str) != "H"
    flat = _flat_atoms(order, near, np.asarray(ideal.element, dtype=str))
    bonds = [
        StandardValue((names[i], names[j]), float(np.linalg.norm(coord[i] - coord[j])), BOND_SIGMA)
        for i, j in sorted(order)
        if i < j
    ]
    angles = [
        StandardValue((names[i], names[j], names[k]), _angle(coord[i], coord[j], coord[k]),
                      ANGLE_SIGMA)
        for j in range(len(names))
        for a, i in enumerate(near[j])
        for k in near[j][a + 1 :]
    ]  # fmt: skip
    return Component(
        _better(bonds, standard_bonds(res_name) + _carboxylate(standard_bonds, names)),
        _better(angles, standard_angles(res_name) + _carboxylate(standard_angles, names)),
        tuple(_centres(names, near, coord, heavy, flat)),
        tuple(_flat_torsions(names, near, coord, heavy, flat, order)),
        {
            name: sum(not heavy[k] for k in near[atom])
            for atom, name in enumerate(names)
            if heavy[atom]
        },
    )


def signed_volume(coord: np.ndarray) -> float:
    """Volume of the bonds from the first of four atoms to the others (Å³)."""
    a, b, c = coord[1:] - coord[0]
    return float(a @ np.cross(b, c))


def _neighbours(order: dict[tuple[int, int], int], n_atoms: int) -> list[list[int]]:
    near: list[list[int]] = [[] for _ in range(n_atoms)]
    for i, j in sorted(order):
        near[i].append(j)
    return near


def _better(
    found: list[StandardValue], known: tuple[StandardValue, ...]
) -> tuple[StandardValue, ...]:
    """Tabulated values in place of those of ideal coordinates."""
    table = {frozenset((v.atoms[0], v.atoms[-1], *v.atoms[1:-1])): v for v in known}
    return tuple(
        StandardValue(v.atoms, better.value, max(better.esd, 1e-3))
        if (better := table.get(frozenset(v.atoms))) is not None and _same(better.atoms, v.atoms)
        else v
        for v in found
    )


def _carboxylate(
    standard: Callable[[str], tuple[StandardValue, ...]], names: list[str]
) -> tuple[StandardValue, ...]:
    """Values of the end of a chain: the dictionary draws an acid, aspartate has its anion."""
    if not {"CA", "C", "O", "OXT"} <= set(names):
        return ()
    other = {"CB": "CA", "CG": "C", "OD1": "O", "OD2": "OXT"}
    return tuple(
        StandardValue(tuple(other[a] for a in value.atoms), value.value, value.esd)
        for value in standard("ASP")
        if set(value.atoms) <= set(other) and "OD2" in value.atoms
    )


def _same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return one in (other, other[::-1])


def _flat_atoms(
    order: dict[tuple[int, int], int],
    near: list[list[int]],
    element: np.ndarray,
) -> np.ndarray:
    """Atoms whose bonds lie in a plane: of a multiple bond, or nitrogen beside such an atom."""
    multiple = np.zeros(len(near), dtype=bool)
    for (i, _), kind in order.items():
        multiple[i] |= kind in _MULTIPLE
    # Tetrahedral in spite of double bonds: phosphates, sulfates, sulfones.
    multiple &= ~np.isin(element, ["P", "S", "SE", "V", "AS"])
    flat = multiple.copy()
    for atom, others in enumerate(near):
        if element[atom] == "N" and len(others) <= 3 and any(multiple[k] for k in others):
            flat[atom] = True
    for atom, others in enumerate(near):
        if len(others) > 3:
            flat[atom] = False
    return flat


def _centres(
    names: list[str],
    near: list[list[int]],
    coord: np.ndarray,
    heavy: np.ndarray,
    flat: np.ndarray,
) -> list[tuple[tuple[str, ...], float]]:
    found = []
    for atom, others in enumerate(near):
        chosen = [k for k in others if heavy[k]]
        if len(chosen) < 3 or not heavy[atom]:
            continue
        for left_out in range(1 if len(chosen) == 3 else len(chosen)):
            # Of four neighbours every three; one leaves the fourth's hand to its distances.
            three = chosen[:3] if len(chosen) == 3 else [
                k for place, k in enumerate(chosen) if place != left_out
            ]  # fmt: skip
            volume = signed_volume(coord[[atom, *three]])
            found.append(
                ((names[atom], *(names[k] for k in three)), 0.0 if flat[atom] else volume)
            )
    return found


def _flat_torsions(
    names: list[str],
    near: list[list[int]],
    coord: np.ndarray,
    heavy: np.ndarray,
    flat: np.ndarray,
    order: dict[tuple[int, int], int],
) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for (j, k), kind in sorted(order.items()):
        stiff = kind in _MULTIPLE or names[j].startswith("N") or names[k].startswith("N")
        if j > k or not (flat[j] and flat[k] and stiff):
            continue
        for i in near[j]:
            for l in near[k]:
                if len({i, j, k, l}) < 4 or not (heavy[i] and heavy[l]):
                    continue
                torsion = abs(_torsion(coord[[i, j, k, l]]))
                if min(torsion, 180 - torsion) <= _FLAT:
                    found.append((names[i], names[j], names[k], names[l]))
    return found


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    u, v = a - b, c - b
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v)))


def _torsion(coord: np.ndarray) -> float:
    b1, b2, b3 = np.diff(coord, axis=0)
    n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
    return float(np.degrees(np.arctan2(np.linalg.norm(b2) * (b1 @ n2), n1 @ n2)))
