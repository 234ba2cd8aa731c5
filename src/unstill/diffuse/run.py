"""A run of the streaming driver, prepared: what to compute, in which blocks and chunks."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import unstill
from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.supercell import supercell
from unstill.diffuse.checkpoint import Progress
from unstill.diffuse.frame_source import FrameSource, described, random_access
from unstill.diffuse.frames import FramePlacement, reference_atoms
from unstill.diffuse.groups import AtomGroups, group_atoms
from unstill.diffuse.regroup import regroup
from unstill.diffuse.sum_frames import Chunk, FrameSummer
from unstill.ensembles import Ensemble
from unstill.ensembles.trajectory import Trajectory
from unstill.errors import InputError, UnstillWarning
from unstill.maps.block_sums import BlockSums
from unstill.parallel import physical_memory


@dataclass(frozen=True, eq=False)
class DiffuseRun:
    """One run, prepared; see :func:`unstill.diffuse.stream.stream_block_sums`.

    The plan depends on the number of frames, the blocks and the chunk size
    only, never on the workers.
    """

    source: FrameSource
    crystal: Crystal
    divisions: Triple
    d_min: float
    n_blocks: int
    chunk_size: int
    weights: np.ndarray
    summer: FrameSummer

    def edges(self) -> list[int]:
        """First frame of each block, and the end of the last."""
        return [block * len(self.weights) // self.n_blocks for block in range(self.n_blocks + 1)]

    def plan(self) -> list[tuple[int, int, int, int]]:
        """Chunk number, block, first frame and end; no chunk spans two blocks."""
        edges = self.edges()
        spans = [
            (block, first, min(first + self.chunk_size, edges[block + 1]))
            for block in range(self.n_blocks)
            for first in range(edges[block], edges[block + 1], self.chunk_size)
        ]
        return [(number, *span) for number, span in enumerate(spans)]

    def chunks(self, first: int = 0) -> Iterator[Chunk]:
        """Chunks from number ``first`` on; ends early where the source does."""
        plan = self.plan()[first:]
        if self.summer.source is not None:
            for number, block, start, stop in plan:
                yield Chunk(number, block, start, stop, self.weights[start:stop])
            return
        if not plan:
            return
        # One pass over the source, whatever the blocks.
        frames = self.source.chunks(self.chunk_size, plan[0][2], plan[-1][3])
        sizes = [stop - start for _, _, start, stop in plan]
        for (number, block, start, stop), found in zip(plan, regroup(frames, sizes), strict=False):
            weights = self.weights[start : start + len(found.coord)]
            yield Chunk(number, block, start, stop, weights, found.coord, found.box)

    def nothing_done(self, n_blocks: int | None = None) -> Progress:
        """Return the sums before the first chunk, of all blocks or of as many as are held."""
        held = self.n_blocks if n_blocks is None else n_blocks
        return Progress.empty(held, len(self.summer.groups.names), len(self.summer.index))

    def fingerprint(self) -> dict[str, Any]:
        """Everything that changes the sums."""
        groups, placement = self.summer.groups, self.summer.placement
        return {
            "version": unstill.__version__,
            "unit cell": list(self.crystal.unit_cell),
            "space group": self.crystal.space_group,
            "supercell": list(self.divisions),
            "d_min": self.d_min,
            "frames": len(self.weights),
            "blocks": self.n_blocks,
            "chunk size": self.chunk_size,
            "atoms": _digest(self.summer.element, self.summer.occupancy),
            "selections": {
                name: _digest(*(a for a, m in zip(groups.atoms, member, strict=True) if m))
                for name, member in zip(groups.names, groups.member, strict=True)
            },
            "weights": _digest(self.weights),
            "drift reference": placement.reference_digest,
            "largest box drift": placement.max_box_drift,
            "engine": {key: str(value) for key, value in self.summer.engine_options.items()},
            "source": described(self.source),
        }

    def check_end(self, n_read: int, *, stacklevel: int) -> None:
        """Warn of a source that broke off; refuse one that broke off before two frames."""
        if n_read < len(self.weights):
            warnings.warn(
                f"the trajectory breaks off: frame {n_read} (counting from 0) of "
                f"{len(self.weights)} could not be read; the {n_read} frames before it are used",
                UnstillWarning,
                stacklevel=stacklevel,
            )
        _check_enough(n_read)

    def finish(self, done: Progress) -> BlockSums:
        """Block sums of what was read."""
        n_read = done.frames_read
        self.check_end(n_read, stacklevel=4)
        kept = np.flatnonzero(done.weight > 0)
        mean_cell = (done.cell_sum / n_read).tolist() if done.cell_sum.any() else None
        return BlockSums(
            crystal=self.crystal,
            divisions=self.divisions,
            index=self.summer.index,
            s1=done.s1[kept],
            s2=done.s2[kept],
            weight=done.weight[kept],
            weight_squared=done.weight_squared[kept],
            n_frames=done.n_frames[kept],
            selections=self.summer.groups.names,
            provenance={
                "run": self.fingerprint(),
                "reference": self.summer.placement.reference_digest,
                "n_frames": n_read,
                "n_frames_announced": len(self.weights),
                "mean_box": mean_cell,
            },
        )


def prepare_run(
    frames: FrameSource | Ensemble,
    divisions: Triple,
    d_min: float,
    *,
    crystal: Crystal | None,
    n_blocks: int | None,
    selections: Mapping[str, np.ndarray],
    weights: np.ndarray | None,
    occupancy: np.ndarray | None,
    align: tuple[bool | None, np.ndarray | None],
    max_box_drift: float | None,
    chunk_size: int,
    engine_options: dict[str, Any],
    blocks_held: int | None = None,
) -> DiffuseRun:
    """Check everything that can be checked before the first structure factor.

    The parameters are those of :func:`unstill.diffuse.stream.stream_block_sums`.

    Parameters
    ----------
    n_blocks
        ``None`` makes each frame a block.
    selections
        All of them.
    align
        (remove_drift, reference).
    blocks_held
        Blocks whose sums are in memory at once; all of them by default.

    Raises
    ------
    InputError
        If the frames, the crystal and the options do not make a run.
    """
    remove_drift, reference = align
    if remove_drift is None:
        remove_drift = not isinstance(frames, Ensemble)
    source, weights, occupancy = _source(frames, weights, occupancy)
    crystal = crystal or source.crystal
    n_blocks = max(1, source.n_frames) if n_blocks is None else n_blocks
    if crystal is None:
        raise InputError(
            "the frames do not say what crystal they are of",
            found="no unit cell",
            fix="give the crystal (--unit-cell, --space-group)",
        )
    if n_blocks < 1 or chunk_size < 1:
        raise InputError(
            "at least one block and one frame a chunk are needed",
            found=f"{n_blocks} blocks, chunks of {chunk_size}",
            fix="give positive numbers",
        )
    if engine_options.get("energy") is not None:
        raise InputError(
            "block sums hold one of each Friedel pair, and anomalous dispersion tells them apart",
            found=f"energy {engine_options['energy']}",
            fix="leave the energy out",
        )
    _check_enough(source.n_frames)
    n_atoms = source.atoms.array_length()
    cell = supercell(crystal, divisions)
    placement = FramePlacement(cell, n_atoms, max_box_drift)
    summer = FrameSummer(
        supercell=cell,
        index=_points(crystal, d_min, divisions),
        groups=_groups(selections, n_atoms),
        element=np.char.upper(np.asarray(source.atoms.element, dtype=str)),
        occupancy=_checked_numbers("occupancy", occupancy, n_atoms),
        placement=_aligned(placement, source, remove_drift, reference),
        engine_options=engine_options,
        source=source if random_access(source) else None,
    )
    given_weights = _checked_numbers("weights", weights, source.n_frames)
    _check_weights(given_weights)
    n_blocks = min(n_blocks, source.n_frames)
    held = n_blocks if blocks_held is None else min(blocks_held, n_blocks)
    _check_memory(held, len(summer.groups.names), len(summer.index))
    return DiffuseRun(
        source=source,
        crystal=crystal,
        divisions=divisions,
        d_min=float(d_min),
        n_blocks=n_blocks,
        chunk_size=chunk_size,
        weights=given_weights,
        summer=summer,
    )


def _source(
    frames: FrameSource | Ensemble, weights: np.ndarray | None, occupancy: np.ndarray | None
) -> tuple[FrameSource, np.ndarray | None, np.ndarray | None]:
    """Frames, weights and occupancies; those of the frames where none are given."""
    if isinstance(frames, Ensemble):
        weights = frames.weights if weights is None else weights
        occupancy = _one_occupancy(frames) if occupancy is None else occupancy
        return Trajectory.from_ensemble(frames), weights, occupancy
    if occupancy is None:
        occupancy = getattr(frames, "occupancy", None)
    return frames, weights, occupancy


def _one_occupancy(ensemble: Ensemble) -> np.ndarray:
    occupancy = ensemble.occupancy
    if occupancy.ndim == 1:
        return occupancy
    differing = np.ptp(occupancy, axis=0) > 0
    if differing.any():
        raise InputError(
            "the occupancies differ from member to member, but all frames are of one set of atoms",
            found=f"{int(differing.sum())} atoms",
            fix="give every member the same occupancies, or use weights of members",
        )
    first: np.ndarray = occupancy[0]
    return first


def _aligned(
    placement: FramePlacement,
    source: FrameSource,
    remove_drift: bool,
    reference: np.ndarray | None,
) -> FramePlacement:
    if not remove_drift:
        return placement
    atoms = reference_atoms(source.atoms)
    if reference is not None:
        return placement.aligned_to(placement.place(reference, None, 0), atoms)
    first = next(source.chunks(1, 0, 1), None)
    if first is None or not len(first.coord):
        raise InputError(
            "the first frame cannot be read", found="no frame", fix="check the trajectory file"
        )
    box = None if first.box is None else first.box[0]
    return placement.aligned_to(placement.place(first.coord[0], box, 0), atoms)


def _points(crystal: Crystal, d_min: float, divisions: Triple) -> np.ndarray:
    # A typing error in d_min must not fill the memory: checked before anything is made.
    if np.isfinite(d_min) and d_min > 0:
        expected = 2 * np.pi / 3 * supercell(crystal, divisions).volume / d_min**3
        _check_memory(1, 1, expected)
    index = friedel_half(crystal, d_min, divisions)
    if len(index) < 2:
        raise InputError(
            "no point but the origin lies within the resolution limit",
            found=f"d_min {d_min:g} Å",
            fix="lower --d-min",
        )
    return index


def _check_memory(n_blocks: int, n_selections: int, n_points: float) -> None:
    # S1 is complex, S2 is real, and a few lists of points go along.
    needed = n_points * (24.0 * n_blocks * n_selections + 200)
    if needed > physical_memory():
        raise InputError(
            "the block sums do not fit into the memory of this machine",
            found=f"{n_points:.3g} points, {n_blocks} blocks, {n_selections} selections: "
            f"{needed / 2**30:.3g} GB of {physical_memory() / 2**30:.3g} GB",
            fix="raise --d-min, or use fewer blocks or selections",
        )


def _check_weights(weights: np.ndarray) -> None:
    if np.count_nonzero(weights) < 2:
        raise InputError(
            "the variance of one frame is not defined",
            found="all the weight on one frame",
            fix="give weight to at least two frames",
        )
    # The sums hold products and squares of weights.
    largest = float(weights.max())
    if not 1e-100 < largest < 1e100:
        raise InputError(
            "the weights are out of range",
            found=f"the largest is {largest:g}",
            fix="multiply all of them by one number; only their ratios matter",
        )


def _groups(selections: Mapping[str, np.ndarray], n_atoms: int) -> AtomGroups:
    for name, mask in selections.items():
        if np.shape(mask) != (n_atoms,) or np.asarray(mask).dtype != bool:
            raise InputError(
                f"the selection {name!r} does not fit the atoms",
                found=f"{np.asarray(mask).dtype} of shape {np.shape(mask)} for {n_atoms} atoms",
                fix="give one true or false an atom",
            )
    return group_atoms(selections)


def _checked_numbers(name: str, numbers: np.ndarray | None, count: int) -> np.ndarray:
    if numbers is None:
        return np.ones(count)
    given = np.asarray(numbers, dtype=np.float64)
    if given.shape != (count,) or not np.isfinite(given).all() or given.min(initial=0) < 0:
        raise InputError(
            f"{name} must be {count} finite numbers, none of them negative",
            found=f"shape {given.shape}, from {given.min():g} to {given.max():g}"
            if given.size
            else "none",
            fix="give one number each",
        )
    if not given.any():
        raise InputError(
            f"{name} are all zero", found=f"{count} zeros", fix="give some above zero"
        )
    return given


def _check_enough(n_frames: int) -> None:
    if n_frames < 2:
        raise InputError(
            "diffuse intensity is a variance, and that of one configuration is zero",
            found=f"{n_frames} frame{'s' if n_frames != 1 else ''}",
            fix="give a trajectory, or a file with several models",
        )


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        given = np.asarray(array)
        # Strings are digested as text, so that their storage width plays no part.
        digest.update(
            "|".join(given.tolist()).encode() if given.dtype.kind == "U" else given.tobytes()
        )
    return digest.hexdigest()[:16]
