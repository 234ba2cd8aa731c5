"""Frames of unit cells that know two states: a loop in its place, or swung out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.disorder.displacement_field import supercell_coord
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.sample import SampledChunk, SampledFrames, sample
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.shapes import Float, Int, PerAtom

SIGMA = 0.8
"""Root-mean-square shift of the molecules along an axis, in both states (Å)."""

_CELL = (1, 1, 1)


@dataclass(frozen=True, eq=False)
class TwoStateFrames:
    """Unit cells, one a frame, whose molecules are all in state A or all in state B.

    Cells move by themselves, so that a frame holds one of them; put into a box
    of several empty cells, its structure factors are known between the Bragg
    positions too. A source of frames for the streaming driver.

    Parameters
    ----------
    moving
        Draws the cells in state A with their liquid-like motion.
    swing
        ``(n_atoms, 3)`` from state A to state B (Å).
    state
        ``(n_frames,)`` 0 for A, 1 for B.
    """

    moving: SampledFrames
    swing: Float[np.ndarray, "n_atoms 3"]
    state: Int[np.ndarray, " frames"]

    random_access = True

    @property
    def atoms(self) -> biotite.structure.AtomArray:
        """Annotations of the atoms of one cell."""
        return self.moving.atoms

    @property
    def crystal(self) -> Crystal:
        """The unit cell and space group."""
        return self.moving.crystal

    @property
    def occupancy(self) -> PerAtom:
        """``(n_atoms,)`` occupancies."""
        return self.moving.occupancy

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.state)

    def chunks(
        self, size: int, start: int = 0, stop: int | None = None, stride: int = 1
    ) -> Iterator[SampledChunk]:
        """Yield the frames from ``start`` up to ``stop``, ``size`` at a time."""
        for chunk in self.moving.chunks(size, start, stop, stride):
            first = chunk.first_frame
            state = self.state[first : first + len(chunk.coord) * stride : stride]
            yield SampledChunk(chunk.coord + state[:, None, None] * self.swing, None, first)

    def fingerprint(self) -> dict[str, Any]:
        """Say what these frames are."""
        return {**self.moving.fingerprint(), "states": self.state.tolist()}


def two_state_frames(
    structure: Ensemble,
    loop: tuple[int, int],
    angle: float,
    state: Int[np.ndarray, " frames"],
    *,
    seed: int,
) -> TwoStateFrames:
    """Draw unit cells in which a loop of every molecule is in its place or swung out.

    Parameters
    ----------
    structure
        Protein with a crystal; heavy atoms of the main conformer are used.
    loop
        First and last residue; their Cα atoms are the hinges.
    angle
        By which the loop turns about the line through the hinges (degrees).
    state
        ``(n_frames,)`` 0 for its place, 1 for swung out.
    seed
        Of the liquid-like motion.

    Raises
    ------
    InputError
        If the structure has no such loop.
    """
    heavy = structure.select(_main_conformer(structure))
    place_a = ModelAtoms.of(heavy, adp="none", waters=False)
    turned = heavy.replace(coord=_swung(heavy, loop, angle)[None])
    place_b = ModelAtoms.of(turned, adp="none", waters=False)
    model = RigidTranslation(place_a)
    moving = sample(model, model.theta(sigma=SIGMA), _CELL, len(state), seed=seed)
    swing = supercell_coord(place_b, _CELL) - supercell_coord(place_a, _CELL)
    return TwoStateFrames(moving, swing, np.asarray(state))


def _main_conformer(structure: Ensemble) -> np.ndarray:
    atoms = structure.atoms
    altloc = atoms.altloc_id if "altloc_id" in atoms.get_annotation_categories() else None
    main = np.ones(structure.n_atoms, bool) if altloc is None else np.isin(altloc, ("", "A"))
    heavy = ~np.isin(structure.element, ("H", "D"))
    chosen: np.ndarray = main & heavy & biotite.structure.filter_amino_acids(atoms)
    return chosen


def _swung(structure: Ensemble, loop: tuple[int, int], angle: float) -> np.ndarray:
    atoms, coord = structure.atoms, structure.coord[0].astype(float)
    first_chain = atoms.chain_id == atoms.chain_id[0]
    hinges = [
        np.flatnonzero(first_chain & (atoms.res_id == number) & (atoms.atom_name == "CA"))
        for number in loop
    ]
    if any(len(hinge) == 0 for hinge in hinges):
        raise InputError(
            "the structure has no such loop",
            found=f"residues {loop[0]} to {loop[1]}",
            fix="choose residues that the structure holds",
        )
    start, end = (coord[hinge[0]] for hinge in hinges)
    axis = (end - start) / np.linalg.norm(end - start)
    inside = first_chain & (atoms.res_id > loop[0]) & (atoms.res_id < loop[1])
    # Rodrigues' rotation about the line through both hinges.
    arm = coord[inside] - start
    turn = np.radians(angle)
    along = np.outer(arm @ axis, axis)
    out = arm - along
    coord[inside] = start + along + np.cos(turn) * out + np.sin(turn) * np.cross(axis, out)
    return np.asarray(coord)
