"""States of frames from text: every way to write them, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import FormatError, UnstillError
from unstill.io.state_labels import read_state_labels


def read(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "states.txt"
    path.write_text(text, encoding="utf-8")
    return read_state_labels(path).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "open\nshut\nopen\n",
        "# a comment\n\n open \nshut\n\n  # another\nopen",
        "state\nopen\nshut\nopen\n",
        "\ufeffLabel\r\nopen\r\nshut\r\nopen\r\n",
        "frame,state\n0,open\n1,shut\n2,open\n",
        "frame,state\n2,open\n1,shut\n0,open\n",
        "time;cluster;rmsd\n0.0;open;1.2\n0.5;shut;2.2\n1.0;open;1.1\n",
        'state\tFrame\n"open"\t0\nopen\t2\nshut\t1\n',
    ],
)
def test_labels_are_read_in_the_order_of_frames(tmp_path, text) -> None:
    assert read(tmp_path, text) == ["open", "shut", "open"]


def test_labels_with_blanks_and_numbers_are_text(tmp_path) -> None:
    assert read(tmp_path, "half open\nhalf open\n") == ["half open"] * 2
    assert read(tmp_path, "10\n2\n") == ["10", "2"]
    assert read(tmp_path, 'frame,state\n0,"a, b"\n1,c\n') == ["a, b", "c"]


@given(
    labels=st.lists(st.text("abc 0123", min_size=1).filter(str.strip), min_size=1, max_size=20),
    data=st.data(),
)
def test_any_order_of_lines_gives_the_frames_in_order(tmp_path_factory, labels, data) -> None:
    folder = tmp_path_factory.mktemp("states")
    order = data.draw(st.permutations(range(len(labels))))
    lines = "".join(f"{frame},{labels[frame]}\n" for frame in order)
    assert read(folder, f"frame,state\n{lines}") == [label.strip() for label in labels]


def test_a_gzipped_file_is_read(tmp_path) -> None:
    path = tmp_path / "states.txt.gz"
    path.write_bytes(gzip.compress(b"A\nB\n"))
    assert read_state_labels(path).tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "holds no states"),
        ("# nothing\n\n", "holds no states"),
        ("frame,state\n", "a header and no line below it"),
        ("0,open\n1,shut\n", "which column holds the states; found first line 0, open"),
        ("frame,state\n0,open\n1\n", "line 3: 1 columns instead of 2"),
        ("# x\nopen\nshut,1\n", "line 3: 2 columns instead of 1"),
        ("frame,state\n0,open\n\n1,\n", "line 4: an empty label"),
        ("frame,state\n0,A\n2,B\n", "2 lines with frames 0 to 2; frame 1 is missing"),
        ("frame,state\n1,A\n2,B\n", "frame 0 is missing"),
        ("frame,state\n0,A\n0,B\n2,B\n", "frame 1 is missing, frame 0 stands 2 times"),
        ("frame,state\n-1,A\n0,B\n", "frame 1 is missing"),
        ("frame,state\nzero,A\n", "cannot be read as a list of states.*zero"),
        ('frame,state\n0,"A\n1,B\n', "cannot be read as a list of states"),
        ("open\nshut\nopen\nop", "no other frame in state 'op'"),
    ],
)
def test_damaged_lists_are_refused_with_the_place(tmp_path, text, what) -> None:
    with pytest.raises(FormatError, match=what):
        read(tmp_path, text)


def test_bytes_that_are_no_text_are_refused(tmp_path) -> None:
    path = tmp_path / "states.dcd"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(FormatError, match="cannot be read as a list of states"):
        read_state_labels(path)


@given(text=st.text(max_size=60))
def test_any_text_gives_labels_or_an_error_of_ours(tmp_path_factory, text) -> None:
    folder = tmp_path_factory.mktemp("states")
    try:
        labels = read(folder, text)
    except UnstillError:
        return
    assert labels
    assert all(label.strip() for label in labels)
