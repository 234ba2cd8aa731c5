"""Members × atoms × 3, with weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.shapes import Coords, Float, Int


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Atoms in several places at once; a single structure has one member.

    Parameters
    ----------
    atoms
        biotite ``AtomArray``: the annotations (``chain_id, res_id, ins_code,
        res_name, atom_name, element, hetero`` and, where read,
        ``altloc_id, entity_id, charge``); its own coordinates are not used.
    coord
        ``(n_members, n_atoms, 3)`` in Å.
    occupancy, b_factor
        ``(n_atoms,)`` where all members agree, or ``(n_members, n_atoms)``;
        ``b_factor`` in Å². Ones and zeros by default.
    u_aniso
        ``(n_atoms, 6)`` or ``(n_members, n_atoms, 6)`` U11, U22, U33, U12, U13,
        U23 in the Cartesian frame (Å²), NaN for atoms that have none; ``None`` if no atom has.
        Where present it replaces ``b_factor``.
    weights
        ``(n_members,)``, non-negative; normalised to sum to one. Equal by default.
    crystal
        Unit cell and space group, or ``None`` for a molecule without a crystal.

    Raises
    ------
    InputError
        If a shape does not fit, a coordinate is not finite, or a weight is negative.
    """

    atoms: biotite.structure.AtomArray
    coord: Coords
    occupancy: Float[np.ndarray, "..."] = None  # type: ignore[assignment]
    b_factor: Float[np.ndarray, "..."] = None  # type: ignore[assignment]
    u_aniso: Float[np.ndarray, "... 6"] | None = None
    weights: Float[np.ndarray, " n_members"] = None  # type: ignore[assignment]
    crystal: Crystal | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_atoms = self.atoms.array_length()
        if self.coord.ndim != 3 or self.coord.shape[1:] != (n_atoms, 3):
            raise InputError(
                "coordinates do not fit the atoms",
                found=f"shape {self.coord.shape} for {n_atoms} atoms",
                fix="give an array of shape (n_members, n_atoms, 3)",
            )
        bad = ~np.isfinite(self.coord).all(axis=(0, 2))
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise InputError(
                "coordinates are not finite",
                found=f"{int(bad.sum())} atoms, the first {self.label(first)}",
                fix="remove or rebuild these atoms",
            )
        for name, default in (("occupancy", 1.0), ("b_factor", 0.0)):
            value = getattr(self, name)
            value = np.full(n_atoms, default) if value is None else np.asarray(value, dtype=float)
            self._check_per_atom(name, value, ())
            object.__setattr__(self, name, value)
        if self.u_aniso is not None:
            self._check_per_atom("u_aniso", self.u_aniso, (6,))
        object.__setattr__(self, "weights", self._normalised_weights())

    @property
    def n_members(self) -> int:
        """Number of members."""
        return int(self.coord.shape[0])

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.coord.shape[1])

    @property
    def frames(self) -> Int[np.ndarray, " n_members"] | None:
        """``(n_members,)`` frame of a trajectory that each member was, counting from 0.

        ``None`` where ``provenance["frames"]`` does not say it of every member.
        """
        known = self.provenance.get("frames")
        if known is None or np.shape(known) != (self.n_members,):
            return None
        return np.asarray(known, dtype=int)

    @property
    def element(self) -> np.ndarray:
        """``(n_atoms,)`` element symbols, upper case (``"D"`` is deuterium)."""
        return np.char.upper(np.asarray(self.atoms.element, dtype=str))

    def label(self, atom: int) -> str:
        """Readable name of an atom: chain/residue/atom."""
        a = self.atoms
        return f"{a.chain_id[atom]}/{a.res_name[atom]} {a.res_id[atom]}/{a.atom_name[atom]}"

    def replace(self, **changes: Any) -> Ensemble:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def select(self, chosen: np.ndarray) -> Ensemble:
        """Return the ensemble of the chosen atoms (bool mask or indices)."""
        return replace(
            self,
            atoms=self.atoms[chosen],
            coord=self.coord[:, chosen],
            occupancy=self.occupancy[..., chosen],
            b_factor=self.b_factor[..., chosen],
            u_aniso=None if self.u_aniso is None else self.u_aniso[..., chosen, :],
        )

    def select_members(self, chosen: np.ndarray) -> Ensemble:
        """Return the ensemble of the chosen members (indices), with their weights."""

        def of(value: Any, base: int) -> Any:
            return value[chosen] if value is not None and value.ndim > base else value

        frames = self.frames
        known = {} if frames is None else {"frames": frames[chosen].tolist()}
        return replace(
            self,
            coord=self.coord[chosen],
            occupancy=of(self.occupancy, 1),
            b_factor=of(self.b_factor, 1),
            u_aniso=of(self.u_aniso, 2),
            weights=self.weights[chosen],
            provenance={**self.provenance, **known},
        )

    def member(self, number: int) -> Ensemble:
        """Return one member as an ensemble of its own."""

        def of(value: Any, base: int) -> Any:
            return value[number] if value is not None and value.ndim > base else value

        return replace(
            self,
            coord=self.coord[number : number + 1],
            occupancy=of(self.occupancy, 1),
            b_factor=of(self.b_factor, 1),
            u_aniso=of(self.u_aniso, 2),
            weights=np.ones(1),
        )

    def _check_per_atom(self, name: str, value: np.ndarray, tail: tuple[int, ...]) -> None:
        allowed = ((self.n_atoms, *tail), (self.n_members, self.n_atoms, *tail))
        if value.shape not in allowed:
            raise InputError(
                f"{name} does not fit the atoms",
                found=f"shape {value.shape}",
                fix=f"give one of the shapes {allowed}",
            )

    def _normalised_weights(self) -> np.ndarray:
        given: np.ndarray | None = self.weights
        if given is None:
            return np.full(self.n_members, 1 / max(self.n_members, 1))
        weights = np.asarray(given, dtype=float)
        total = float(weights.sum())
        if (
            weights.shape != (self.n_members,)
            or not np.isfinite(total)
            or weights.min() < 0
            or total <= 0
        ):
            raise InputError(
                "weights must be non-negative, one a member, and not all zero",
                found=f"{weights.size} weights summing to {total:g} for {self.n_members} members",
                fix="pass one weight a member",
            )
        return weights / total
