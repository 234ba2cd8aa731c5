"""Files damaged at random: bytes, tokens, lines, loops and columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]

_TOKENS = (b"?", b".", b"' '", b"''", b"'A", b'"', b";", b"loop_", b"data_x", b"_atom_site.id")
_TOKENS += (b"AA", b"-0", b"1e999", b"nan", b"#", b"save_", b"stop_", b"\xff", b"1.0(3)", b"B")


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one to four faults."""
    for _ in range(int(rng.integers(1, 5))):
        content = MUTATIONS[int(rng.integers(len(MUTATIONS)))](content, rng)
    return content


def _place(content: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(len(content) + 1))


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        if out:
            out[int(rng.integers(len(out)))] = int(rng.integers(256))
    return bytes(out)


def _insert(content: bytes, rng: np.random.Generator) -> bytes:
    at = _place(content, rng)
    return content[:at] + rng.bytes(int(rng.integers(1, 9))) + content[at:]


def _cut_out(content: bytes, rng: np.random.Generator) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + int(rng.integers(1, 60)) :]


def _cut_off(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: _place(content, rng)]


def _token(content: bytes, rng: np.random.Generator) -> bytes:
    words = content.split(b" ")
    words[int(rng.integers(len(words)))] = _TOKENS[int(rng.integers(len(_TOKENS)))]
    return b" ".join(words)


def _lines(content: bytes, rng: np.random.Generator) -> tuple[list[bytes], int]:
    lines = content.split(b"\n")
    return lines, int(rng.integers(len(lines)))


def _repeat_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines, at = _lines(content, rng)
    return b"\n".join([*lines[: at + 1], *lines[at:]])


def _drop_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines, at = _lines(content, rng)
    return b"\n".join([*lines[:at], *lines[at + 1 :]])


def _swap_lines(content: bytes, rng: np.random.Generator) -> bytes:
    lines, at = _lines(content, rng)
    other = int(rng.integers(len(lines)))
    lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)


def _join_lines(content: bytes, rng: np.random.Generator) -> bytes:
    at = content.find(b"\n", _place(content, rng))
    return content if at < 0 else content[:at] + b" " + content[at + 1 :]


def _dos(content: bytes, rng: np.random.Generator) -> bytes:
    return content.replace(b"\n", b"\r\n" if rng.random() < 0.7 else b"\r")


def _column(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave out a column of all lines, as a wrong ``cut`` does."""
    at, width = int(rng.integers(80)), int(rng.integers(1, 4))
    return b"\n".join(line[:at] + line[at + width :] for line in content.split(b"\n"))


def _long_line(content: bytes, rng: np.random.Generator) -> bytes:
    at = _place(content, rng)
    return content[:at] + b"x" * int(rng.integers(100, 20_000)) + content[at:]


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _insert, _cut_out, _cut_off, _token, _repeat_line, _drop_line, _swap_lines),
    *(_join_lines, _dos, _column, _long_line),
)
