"""Frames in chunks, whatever the chunks and the files."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any

import biotite.structure
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.ensembles import Ensemble, Trajectory
from unstill.errors import InputError

N_ATOMS = 5


@dataclass
class CountedFile:
    """Frame i of file f holds the number 1000 f + i everywhere; counts what it reads."""

    number: int
    n_frames: int
    n_atoms: int = N_ATOMS
    read: list[int] = field(default_factory=list)
    opened: int = 0

    def open(self) -> CountedFile:
        self.opened += 1
        return self

    def __enter__(self) -> CountedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.opened -= 1

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        assert self.opened == 1
        self.read.append(number)
        coord = np.arange(N_ATOMS * 3, dtype=np.float32).reshape(N_ATOMS, 3)
        return coord + 1000 * self.number + 100 * number, np.eye(3) * (number + 1)

    def fingerprint(self) -> dict[str, Any]:
        return {"number": self.number}


def trajectory(lengths: list[int], **options: Any) -> Trajectory:
    atoms = biotite.structure.AtomArray(N_ATOMS)
    atoms.set_annotation("element", np.array(["C", "H", "C", "H", "O"]))
    return Trajectory(atoms, [CountedFile(i, n) for i, n in enumerate(lengths)], **options)


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    size=st.integers(1, 9),
    start=st.integers(0, 20),
    stop=st.none() | st.integers(0, 30),
    stride=st.integers(1, 5),
    outer=st.integers(1, 4),
)
def test_frames_do_not_depend_on_chunks_or_files(
    lengths, size, start, stop, stride, outer
) -> None:
    whole = [(f, i) for f, n in enumerate(lengths) for i in range(n)]
    expected = whole[::outer][start:stop:stride]
    found = trajectory(lengths, stride=outer)
    assert found.n_frames == len(whole[::outer])
    chunks = list(found.chunks(size, start, stop, stride))
    assert [len(chunk.coord) for chunk in chunks[:-1]] == [size] * max(len(chunks) - 1, 0)
    numbers = [float(frame[0, 0]) for chunk in chunks for frame in chunk.coord]
    assert numbers == [1000 * f + 100 * i for f, i in expected]
    frames = [number for chunk in chunks for number in chunk.frames.tolist()]
    assert frames == list(range(found.n_frames))[start:stop:stride]
    assert all(chunk.first_frame == chunk.frames[0] for chunk in chunks)
    # Nothing else was read, and every file is closed again.
    read = [(file.number, frame) for file in found.files for frame in file.read]
    assert read == expected
    assert all(file.opened == 0 for file in found.files)


def test_chunks_are_read_when_they_are_asked_for() -> None:
    found = trajectory([10, 10])
    chunks = found.chunks(3)
    next(chunks)
    assert [len(file.read) for file in found.files] == [3, 0]


def test_selections_by_words_masks_and_indices_agree_and_chain() -> None:
    found = trajectory([4])
    full = found.frame(2).coord
    mask = np.array([True, False, True, False, False])
    for selection in ("element C", mask, np.array([0, 2])):
        np.testing.assert_array_equal(
            next(found.chunks(1, 2, selection=selection)).coord, full[:, [0, 2]]
        )
    chained = found.select("not element H").select("element O")
    assert chained.n_atoms == 1
    np.testing.assert_array_equal(chained.frame(2).coord, full[:, [4]])


def test_boxes_come_with_their_frames() -> None:
    boxes = np.concatenate([chunk.box for chunk in trajectory([3, 2]).chunks(2)])
    assert boxes[:, 0, 0].tolist() == [1, 2, 3, 1, 2]


def test_members_of_an_ensemble_are_frames_without_a_box() -> None:
    atoms = biotite.structure.AtomArray(2)
    coord = np.arange(18.0).reshape(3, 2, 3)
    found = Trajectory.from_ensemble(Ensemble(atoms, coord))
    assert found.n_frames == 3
    chunk = next(found.chunks(5))
    assert chunk.box is None
    np.testing.assert_array_equal(chunk.coord, coord)


def test_a_trajectory_can_be_sent_to_another_process() -> None:
    found = pickle.loads(pickle.dumps(trajectory([3], stride=2)))
    assert found.n_frames == 2


def test_the_fingerprint_tells_selection_and_stride() -> None:
    prints = [
        trajectory([3]).fingerprint(),
        trajectory([3], stride=2).fingerprint(),
        trajectory([3]).select("element C").fingerprint(),
        trajectory([3, 1]).fingerprint(),
    ]
    assert all(prints.count(one) == 1 for one in prints)
    assert trajectory([3]).fingerprint() == prints[0]


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda t: t.chunks(0), "positive size"),
        (lambda t: t.chunks(1, -1), "start from 0"),
        (lambda t: t.chunks(1, stride=0), "positive size and stride"),
        (lambda t: t.frame(3), "frame 3 of 3"),
        (lambda t: t.select(np.array([9])), "do not exist"),
        (lambda t: t.select(np.array([True])), "does not fit"),
        (lambda t: t.select("water"), "names no atom"),
        (lambda _: trajectory([3], stride=0), "stride must be positive"),
    ],
)
def test_bad_requests_are_explained(call, what) -> None:
    with pytest.raises(InputError, match=what):
        call(trajectory([3]))


def test_a_topology_of_other_atoms_is_refused_with_both_counts() -> None:
    atoms = biotite.structure.AtomArray(7)
    with pytest.raises(InputError, match=r"7 atoms in the topology, 5 in a frame"):
        Trajectory(atoms, [CountedFile(0, 3)])
