"""Weights of members as a table that any spreadsheet opens and that loses no digit."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.errors import FormatError, InputError
from unstill.io.atomic import atomic_path
from unstill.io.reading import REMEDY, parsing
from unstill.shapes import Float, Int

_COLUMNS = ("member", "first_frame", "n_frames", "prior", "weight", "ratio", "error")
_SHARE = "share_"
_SUM = 1e-9


@dataclass(frozen=True, eq=False)
class WeightsTable:
    """Weights of members, frames or blocks of frames, in the order of time.

    Parameters
    ----------
    n_frames
        ``(n_members,)`` frames of each member.
    prior, weight
        ``(n_members,)`` before and after the fit; each sums to one.
    error
        ``(n_members,)`` standard error of the weight, NaN where it is not
        known; not known by default.
    first_frame
        ``(n_members,)`` first frame of each member, counting from 0. By
        default members follow one another; frames between them have no weight.
    states
        Names of states.
    shares
        ``(n_members, n_states)`` share of each state in each member.

    Raises
    ------
    InputError
        If the arrays do not fit each other, weights do not sum to one, or
        members overlap.
    """

    n_frames: Int[np.ndarray, " members"]
    prior: Float[np.ndarray, " members"]
    weight: Float[np.ndarray, " members"]
    error: Float[np.ndarray, " members"] = None  # type: ignore[assignment]
    first_frame: Int[np.ndarray, " members"] = None  # type: ignore[assignment]
    states: tuple[str, ...] = ()
    shares: Float[np.ndarray, "members states"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        n = len(self.n_frames)
        defaults = {
            "error": np.full(n, np.nan),
            "first_frame": np.cumsum(self.n_frames) - self.n_frames,
            "shares": np.zeros((n, 0)),
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        wrong = [
            f"{name} of shape {np.shape(getattr(self, name))}"
            for name in ("prior", "weight", "error", "first_frame")
            if np.shape(getattr(self, name)) != (n,)
        ]
        if self.shares.shape != (n, len(self.states)):
            wrong.append(f"shares of shape {self.shares.shape} for {len(self.states)} states")
        if wrong or n == 0:
            raise InputError(
                "the columns of the table do not fit each other",
                found=f"{n} members, {', '.join(wrong) or 'no line'}",
                fix="give one number a member in every column",
            )
        self._check_weights()
        self._check_frames()

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.n_frames)

    @property
    def ratio(self) -> Float[np.ndarray, " members"]:
        """``(n_members,)`` weight over prior weight."""
        ratio: np.ndarray = self.weight / self.prior
        return ratio

    def frame_weights(self, n_frames: int | None = None) -> Float[np.ndarray, " frames"]:
        """Return the weight of each frame: that of its member, in equal parts.

        Parameters
        ----------
        n_frames
            Frames of the trajectory; by default up to the end of the last
            member. Frames of no member weigh nothing.

        Raises
        ------
        InputError
            If members reach beyond the end of the trajectory.
        """
        end = int(self.first_frame[-1] + self.n_frames[-1])
        if n_frames is not None and n_frames < end:
            raise InputError(
                "the weights are of more frames than there are",
                found=f"frames up to {end - 1} (counting from 0) of {n_frames}",
                fix="give the trajectory and the --stride that were weighed",
            )
        weights = np.zeros(end if n_frames is None else n_frames)
        step = np.arange(int(self.n_frames.sum())) - np.repeat(
            np.cumsum(self.n_frames) - self.n_frames, self.n_frames
        )
        frames = np.repeat(self.first_frame, self.n_frames) + step
        weights[frames] = np.repeat(self.weight / self.n_frames, self.n_frames)
        return weights

    def _check_weights(self) -> None:
        for name, values, least in (("prior", self.prior, 1e-300), ("weight", self.weight, 0.0)):
            total = float(values.sum())
            # Not finite, negative, or a table that has lost lines.
            if not abs(total - 1) < _SUM or values.min() < least:
                raise InputError(
                    f"the column {name} holds no weights that sum to one",
                    found=f"sum {total:.12g}, the smallest {values.min():g}",
                    fix="give positive weights of all members, divided by their sum",
                )

    def _check_frames(self) -> None:
        ends = np.concatenate([[0], (self.first_frame + self.n_frames)[:-1]])
        bad = np.flatnonzero((self.n_frames < 1) | (self.first_frame < ends))
        if len(bad):
            first = int(bad[0])
            raise InputError(
                "members must hold frames and follow one another",
                found=f"member {first} (counting from 0) with {self.n_frames[first]} frames from "
                f"frame {self.first_frame[first]} on",
                fix="give the members in the order of time",
            )


def write_weights_csv(table: WeightsTable, path: Path) -> None:
    """Write one line a member; numbers are read back to the last bit.

    The columns are ``member, first_frame, n_frames, prior, weight, ratio,
    error`` (members and frames count from 0, an unknown error is left empty),
    then ``state`` where each member is in one state, else ``share_NAME`` of
    each state.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    numbers = (table.first_frame, table.n_frames, table.prior, table.weight, table.ratio)
    columns = [[str(number) for number in range(table.n_members)]]
    columns += [[repr(value) for value in np.asarray(column).tolist()] for column in numbers]
    columns.append(["" if np.isnan(value) else repr(value) for value in table.error.tolist()])
    names = list(_COLUMNS)
    if table.states and np.isin(table.shares, (0.0, 1.0)).all():
        names.append("state")
        columns.append([table.states[number] for number in table.shares.argmax(axis=1)])
    else:
        names += [f"{_SHARE}{state}" for state in table.states]
        columns += [[repr(value) for value in column] for column in table.shares.T.tolist()]
    with (
        atomic_path(Path(path)) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))


def read_weights_csv(path: Path) -> WeightsTable:
    """Read what :func:`write_weights_csv` wrote.

    Parameters
    ----------
    path
        Columns may stand in any order; those of other names, and ``ratio``,
        are not read.

    Raises
    ------
    FormatError
        If a column or a member is missing, a number cannot be read, or the
        weights do not sum to one.
    """
    path = Path(path)
    with parsing(path, "a table of weights"):
        text = path.read_bytes().decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        header, rows = rows[0] if rows else [], rows[1:]
        needed = [name for name in _COLUMNS if name not in ("ratio", "error")]
        missing = [name for name in needed if name not in header]
        if missing:
            raise FormatError(
                f"{path.name} is no table of weights",
                found=f"no column {', '.join(missing)}",
                fix="give the weights CSV that unstill weigh has written",
            )
        # A last line without its end may have lost digits, which no parser would notice.
        uneven = [number for number, row in enumerate(rows, 2) if len(row) != len(header)]
        if uneven or not text.endswith("\n"):
            raise FormatError(
                f"{path.name} is cut short",
                found=f"line {uneven[0]} of {len(rows) + 1} has lost columns"
                if uneven
                else "a last line without its end",
                fix=REMEDY,
            )
        return _table(path, {name: [row[i] for row in rows] for i, name in enumerate(header)})


def _table(path: Path, column: dict[str, list[str]]) -> WeightsTable:
    n = len(column["member"])
    if [int(word) for word in column["member"]] != list(range(n)):
        raise FormatError(
            f"{path.name} does not list every member once, in order",
            found=f"{n} members, the first {', '.join(column['member'][:3])}",
            fix=REMEDY,
        )

    def numbers(name: str) -> np.ndarray:
        return np.array([float(word) if word else np.nan for word in column[name]], dtype=float)

    def whole(name: str) -> np.ndarray:
        return np.array([int(word) for word in column[name]], dtype=int)

    states, shares = _states(column, n)
    try:
        return WeightsTable(
            n_frames=whole("n_frames"),
            prior=numbers("prior"),
            weight=numbers("weight"),
            error=numbers("error") if "error" in column else None,  # type: ignore[arg-type]
            first_frame=whole("first_frame"),
            states=states,
            shares=shares,
        )
    except InputError as error:
        raise FormatError(
            f"{path.name} is no table of weights: {error.what}", found=error.found, fix=REMEDY
        ) from error


def _states(column: dict[str, list[str]], n: int) -> tuple[tuple[str, ...], np.ndarray]:
    if "state" in column:
        words = column["state"]
        states = tuple(dict.fromkeys(words))
        return states, np.array([[float(word == one) for one in states] for word in words])
    states = tuple(name.removeprefix(_SHARE) for name in column if name.startswith(_SHARE))
    shares = [[float(word) for word in column[f"{_SHARE}{state}"]] for state in states]
    return states, np.array(shares, dtype=float).reshape(len(states), n).T
