"""What Sampleworks reads and writes, for those who come from it: its tables and its results.

::

    proteins.csv         name, structure, density, resolution
    protein_configs.csv  protein, base_map_dir, selection, resolution, map_pattern,
                         structure_pattern
    RESULTS/PROTEIN/MODEL[_METHOD]/SCALER/ensN_gwW[_gdG]/{refined.cif, losses.txt}

Source: https://github.com/diff-use/sampleworks (formats as of 2026).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.errors import FormatError, InputError
from unstill.shapes import Float

_SELECTION = re.compile(
    r"^chain\s+(\S+)\s+and\s+resi\s+(-?\d+)(?:\s*-\s*(-?\d+))?$", re.IGNORECASE
)
_TRIAL = re.compile(r"^ens(\d+)_gw([0-9.eE+-]+?)(?:_gd(\d+))?$")
_MODELS = ("boltz1", "boltz2", "protenix", "rf3", "protpardelle")


@dataclass(frozen=True)
class SampleworksProtein:
    """A row of ``proteins.csv``: what guidance is run on.

    Parameters
    ----------
    name
        Of the protein.
    structure, density
        Files of its model, and of its map.
    resolution
        Of the map (Å).
    """

    name: str
    structure: Path
    density: Path
    resolution: float


@dataclass(frozen=True)
class SampleworksSegment:
    """Residues of a chain, first to last, both included."""

    chain_id: str
    first: int
    last: int


@dataclass(frozen=True)
class SampleworksConfig:
    """A row of ``protein_configs.csv``: what results are judged on.

    Parameters
    ----------
    protein
        Its name.
    folder
        Of its maps and models, below the folder of all of them.
    segments
        Where it is judged.
    resolution
        Of the maps (Å).
    map_pattern, structure_pattern
        File names, with ``{occ_str}`` for the occupancies.
    """

    protein: str
    folder: Path
    segments: tuple[SampleworksSegment, ...]
    resolution: float
    map_pattern: str
    structure_pattern: str

    def map_path(self, root: Path, occupancies: Mapping[str, float]) -> Path:
        """File of the map at these occupancies (altloc → occupancy) below a folder."""
        return root / self.folder / self.map_pattern.format(occ_str=occupancy_text(occupancies))

    def structure_path(self, root: Path, occupancies: Mapping[str, float]) -> Path:
        """File of the model at these occupancies (altloc → occupancy) below a folder."""
        name = self.structure_pattern.format(occ_str=occupancy_text(occupancies))
        return root / self.folder / name


@dataclass(frozen=True, eq=False)
class SampleworksRun:
    """One run of guidance in an output tree.

    Parameters
    ----------
    protein, model, method, scaler
        What was run; ``method`` only where the predictor was told one.
    n_members
        Of the ensemble.
    strength
        Weight of guidance.
    gradient_steps
        Of Feynman-Kac steering, else ``None``.
    folder
        Of the run.
    structure
        ``refined.cif``, the members as models; ``None`` where the run did not finish.
    losses
        ``(n_steps,)``, NaN at steps without guidance; empty where none were written.
    """

    protein: str
    model: str
    method: str | None
    scaler: str
    n_members: int
    strength: float
    gradient_steps: int | None
    folder: Path
    structure: Path | None
    losses: Float[np.ndarray, " n_steps"]


def read_proteins(path: Path) -> tuple[SampleworksProtein, ...]:
    """Read ``proteins.csv``; paths in it are relative to its folder.

    Raises
    ------
    FormatError
        If a column is missing, or a value makes no sense.
    """
    found = []
    for line, row in _rows(path, ("name", "structure", "density", "resolution")):
        if not row["name"]:
            raise _wrong(path, line, "a protein has no name", "")
        structure, density = path.parent / row["structure"], path.parent / row["density"]
        resolution = _resolution(path, line, row)
        found.append(SampleworksProtein(row["name"], structure, density, resolution))
    return tuple(found)


def read_protein_configs(path: Path) -> tuple[SampleworksConfig, ...]:
    """Read ``protein_configs.csv``; several selections are parted by semicolons.

    Raises
    ------
    FormatError
        If a column is missing, or a value makes no sense.
    """
    names = ("protein", "base_map_dir", "selection", "resolution", "map_pattern")
    return tuple(
        SampleworksConfig(
            row["protein"],
            Path(row["base_map_dir"]),
            tuple(_segment(path, line, part) for part in row["selection"].split(";")),
            _resolution(path, line, row),
            row["map_pattern"],
            row["structure_pattern"],
        )
        for line, row in _rows(path, (*names, "structure_pattern"))
    )


def read_runs(folder: Path) -> tuple[SampleworksRun, ...]:
    """Read the runs of an output tree, by folder; unfinished ones as well.

    Raises
    ------
    InputError
        If there is no such folder, or no run in it.
    FormatError
        If a list of losses is none.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", found=folder, fix="give the output folder")
    runs = [
        _run(trial, match)
        for trial in sorted(folder.glob("*/*/*/*"))
        if trial.is_dir() and (match := _TRIAL.match(trial.name))
    ]
    if not runs:
        raise InputError(
            "there is no run of Sampleworks in this folder",
            found=folder,
            fix="give the folder that holds PROTEIN/MODEL/SCALER/ensN_gwW",
        )
    return tuple(runs)


def occupancy_text(occupancies: Mapping[str, float]) -> str:
    """Occupancies as they stand in names of files.

    Examples
    --------
    >>> occupancy_text({"A": 0.5, "B": 0.5})
    '0.5occA_0.5occB'
    >>> occupancy_text({"A": 1.0})
    '1.0occA'
    """
    return "_".join(f"{float(value)}occ{altloc}" for altloc, value in occupancies.items())


def _run(trial: Path, match: re.Match[str]) -> SampleworksRun:
    scaler, model_folder, protein = (trial.parents[n].name for n in range(3))
    model, method = _model(model_folder)
    structure, losses = trial / "refined.cif", trial / "losses.txt"
    return SampleworksRun(
        protein,
        model,
        method,
        scaler,
        int(match[1]),
        float(match[2]),
        None if match[3] is None else int(match[3]),
        trial,
        structure if structure.is_file() else None,
        _losses(losses) if losses.is_file() else np.empty(0),
    )


def _model(folder: str) -> tuple[str, str | None]:
    for name in _MODELS:
        if folder.startswith(f"{name}_"):
            return name, folder.removeprefix(f"{name}_").replace("_", " ")
    return folder, None


def _losses(path: Path) -> Float[np.ndarray, " n_steps"]:
    found = {}
    for line, row in _rows(path, ("step", "loss")):
        try:
            found[int(row["step"])] = math.nan if row["loss"] == "NA" else float(row["loss"])
        except ValueError as error:
            raise _wrong(path, line, "this is no step with its loss", row) from error
    losses = np.full(max(found, default=-1) + 1, np.nan)
    losses[list(found)] = list(found.values())
    return losses


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("this table cannot be read", found=f"{path}: {error}",
                         fix="give a CSV file of Sampleworks") from error  # fmt: skip
    reader = csv.DictReader(text.splitlines(), restval="")
    missing = set(columns) - set(reader.fieldnames or ())
    if missing:
        raise FormatError(
            "this table lacks columns",
            found=f"{path}: no {', '.join(sorted(missing))}",
            fix=f"its first line must name {', '.join(columns)}",
        )
    return [
        (reader.line_num, {key: row[key].strip() for key in columns})
        for row in reader
        if any(row[key].strip() for key in columns)
    ]


def _resolution(path: Path, line: int, row: Mapping[str, str]) -> float:
    try:
        value = float(row["resolution"])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise _wrong(path, line, "a resolution is a positive number of Å", row["resolution"])
    return value


def _segment(path: Path, line: int, text: str) -> SampleworksSegment:
    match = _SELECTION.match(text.strip())
    if match is None:
        raise _wrong(path, line, "this selection is not of the form 'chain A and resi 1-9'", text)
    first = int(match[2])
    last = first if match[3] is None else int(match[3])
    if last < first:
        raise _wrong(path, line, "a segment ends before it begins", text)
    return SampleworksSegment(match[1], first, last)


def _wrong(path: Path, line: int, what: str, found: object) -> FormatError:
    return FormatError(what, found=f"{path}, line {line}: {found!r}", fix="correct this line")
