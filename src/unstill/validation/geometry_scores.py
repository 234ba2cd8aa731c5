r"""Covalent geometry of a model in numbers: root mean squares, Z scores, flips, and who deviates.

.. math::
   \mathrm{rms} = \sqrt{\langle (x - x_0)^2 \rangle}, \qquad
   \mathrm{rms}_Z = \sqrt{\langle (x - x_0)^2 / \sigma^2 \rangle}

over bonds and angles of each member; an rms of Z of 1 is that of the structures the targets were
taken from, refined models have less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Bool, Coords, Float, Int
from unstill.validation.geometry import (
    angle_deviations,
    bond_deviations,
    chirality_flips,
    plane_deviations,
    root_mean_square,
)

OUTLIER_Z = 4.0
"""Standard deviations from which a bond or an angle is listed."""


@dataclass(frozen=True, eq=False)
class RestraintTargets:
    """What bonds, angles, planes and centres should be, as arrays.

    Parameters
    ----------
    bonds, lengths, bond_sigmas
        ``(m, 2)`` atoms, ``(m,)`` Å, ``(m,)`` Å.
    angles, targets, angle_sigmas
        ``(m, 3)`` atoms, the vertex second, ``(m,)`` degrees, ``(m,)`` degrees.
    planes
        Atoms of each plane, four or more.
    chirals, volumes
        ``(m, 4)`` atoms, the centre first, and ``(m,)`` signed volumes (Å³).

    Raises
    ------
    InputError
        If a σ is not positive.
    """

    bonds: Int[np.ndarray, "n_bonds 2"]
    lengths: Float[np.ndarray, " n_bonds"]
    bond_sigmas: Float[np.ndarray, " n_bonds"]
    angles: Int[np.ndarray, "n_angles 3"]
    targets: Float[np.ndarray, " n_angles"]
    angle_sigmas: Float[np.ndarray, " n_angles"]
    planes: Sequence[Int[np.ndarray, " k"]]
    chirals: Int[np.ndarray, "n_chirals 4"]
    volumes: Float[np.ndarray, " n_chirals"]

    def __post_init__(self) -> None:
        for sigmas in (self.bond_sigmas, self.angle_sigmas):
            if not (np.isfinite(sigmas) & (sigmas > 0)).all():
                raise InputError(
                    "standard deviations of restraints are positive",
                    found=f"{int((~(sigmas > 0)).sum())} of {len(sigmas)} are not",
                    fix="leave out restraints without one",
                )

    def of_atoms(self, chosen: Bool[np.ndarray, " n_atoms"]) -> RestraintTargets:
        """Return restraints that have at least one of the chosen atoms."""
        bonds, angles, chirals = (
            chosen[atoms].any(axis=1) if len(atoms) else np.zeros(0, dtype=bool)
            for atoms in (self.bonds, self.angles, self.chirals)
        )
        return RestraintTargets(
            self.bonds[bonds],
            self.lengths[bonds],
            self.bond_sigmas[bonds],
            self.angles[angles],
            self.targets[angles],
            self.angle_sigmas[angles],
            [plane for plane in self.planes if chosen[plane].any()],
            self.chirals[chirals],
            self.volumes[chirals],
        )


@dataclass(frozen=True, eq=False)
class GeometryScores:
    """Deviations from ideal geometry.

    Parameters
    ----------
    restraints
        That were measured.
    bond_rms, bond_rms_z, angle_rms, angle_rms_z, plane_rms
        ``(n_members,)`` Å and degrees; NaN where there is no restraint.
    flips
        ``(n_members, n_chirals)`` centres of the other hand.
    bond_z, angle_z
        ``(n_members, m)`` deviations over their σ.
    """

    restraints: RestraintTargets
    bond_rms: Float[np.ndarray, " n_members"]
    bond_rms_z: Float[np.ndarray, " n_members"]
    angle_rms: Float[np.ndarray, " n_members"]
    angle_rms_z: Float[np.ndarray, " n_members"]
    plane_rms: Float[np.ndarray, " n_members"]
    flips: Bool[np.ndarray, "n_members n_chirals"]
    bond_z: Float[np.ndarray, "n_members n_bonds"]
    angle_z: Float[np.ndarray, "n_members n_angles"]

    @property
    def n_flips(self) -> Int[np.ndarray, " n_members"]:
        """Centres of the other hand in each member."""
        count: np.ndarray = self.flips.sum(axis=1)
        return count

    def problems(
        self,
        weights: Float[np.ndarray, " n_members"],
        row: Int[np.ndarray, " n_atoms"],
        names: Sequence[str],
    ) -> dict[int, list[tuple[float, str]]]:
        """Gravity and words of what deviates, by row of the residue.

        A flip is as grave as its members weigh; the worst bond or angle of a residue half as
        grave.

        Parameters
        ----------
        weights
            Of the members.
        row
            Residue of each atom.
        names
            Of each atom, for the words.
        """
        found: dict[int, list[tuple[float, str]]] = {}
        share = weights @ self.flips
        for number in np.flatnonzero(share > 0).tolist():
            atom = int(self.restraints.chirals[number, 0])
            found.setdefault(int(row[atom]), []).append(
                (float(share[number]), f"{names[atom]} has the wrong hand")
            )
        for kind, atoms, z, owner in (
            ("bond", self.restraints.bonds, self.bond_z, 0),
            ("angle", self.restraints.angles, self.angle_z, 1),
        ):
            worst: dict[int, tuple[float, int]] = {}
            size = np.abs(z).max(axis=0, initial=0.0)
            for number in np.flatnonzero(size > OUTLIER_Z).tolist():
                place = int(row[int(atoms[number, owner])])
                if size[number] > worst.get(place, (0.0, 0))[0]:
                    worst[place] = float(size[number]), number
            for place, (most, number) in worst.items():
                gravity = 0.5 * float(weights @ (np.abs(z[:, number]) > OUTLIER_Z))
                chain = "–".join(names[atom] for atom in atoms[number].tolist())
                found.setdefault(place, []).append((gravity, f"{kind} {chain} {most:.1f} σ off"))
        return found


def score_geometry(coord: Coords, restraints: RestraintTargets) -> GeometryScores:
    """Measure the covalent geometry of every member.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    restraints
        Of these atoms.

    Raises
    ------
    InputError
        If a restraint does not fit the atoms.
    """
    coord = np.asarray(coord, dtype=float)
    bonds = bond_deviations(coord, restraints.bonds, restraints.lengths)
    angles = angle_deviations(coord, restraints.angles, restraints.targets)
    planes = plane_deviations(coord, restraints.planes)
    return GeometryScores(
        restraints,
        root_mean_square(bonds),
        root_mean_square(bonds / restraints.bond_sigmas),
        root_mean_square(angles),
        root_mean_square(angles / restraints.angle_sigmas),
        root_mean_square(planes),
        chirality_flips(coord, restraints.chirals, restraints.volumes),
        bonds / restraints.bond_sigmas,
        angles / restraints.angle_sigmas,
    )
