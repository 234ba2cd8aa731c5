"""Geometry files of any format, told apart by their content."""

from __future__ import annotations

from pathlib import Path

from unstill.errors import FormatError
from unstill.experiment import Experiment
from unstill.io.dials_expt import experiments_of, is_experiment_list
from unstill.io.dials_refl import is_reflection_table
from unstill.io.experiment_json import experiments_of_json, is_experiment_json
from unstill.io.json_node import read_json
from unstill.io.reading import head
from unstill.io.xds_inp import read_xds_inp
from unstill.io.xds_integrate import read_integrate
from unstill.io.xds_xparm import beside_of, read_xparm

_KNOWN = (
    "give a DIALS experiment list (.expt), XPARM.XDS, XDS.INP with INTEGRATE.LP, "
    "or an experiment file of unstill"
)


def read_experiments(path: Path, *, space_group: str | None = None) -> list[Experiment]:
    """Read a geometry file of any format.

    Parameters
    ----------
    path
        A DIALS experiment list of any version, an experiment file of unstill,
        ``XPARM.XDS``, ``GXPARM.XDS``, ``INTEGRATE.LP``, or ``XDS.INP``. The last
        leads to the ``INTEGRATE.LP`` or ``XPARM.XDS`` that lies beside it.
    space_group
        In place of the stored one; the cell must allow it.

    Raises
    ------
    FormatError
        If the file is damaged, or holds no geometry.
    InputError
        If the cell does not have the symmetry of the space group.
    """
    path = Path(path)
    start = head(path)
    if start.lstrip()[:1] in (b"{", b"[") and b"HEADER_BYTES=" not in start[:64]:
        return _read_document(path, space_group)
    kind = _xds_kind(start)
    if kind == "XDS.INP":
        return [_read_inp(path, space_group)]
    if kind == "INTEGRATE.LP":
        return [read_integrate(path, space_group=space_group)]
    if kind == "XPARM.XDS":
        return [read_xparm(path, space_group=space_group)]
    raise FormatError("this is no geometry file", found=_what(start, path), fix=_KNOWN)


def _read_document(path: Path, space_group: str | None) -> list[Experiment]:
    root = read_json(path)
    if is_experiment_json(root.value):
        return experiments_of_json(root, path, space_group=space_group)
    if is_experiment_list(root.value):
        return experiments_of(root, path, space_group=space_group)
    if isinstance(root.value, list) and any(
        isinstance(one, dict) and one.get("__id__") == "DataBlock" for one in root.value
    ):
        raise FormatError(
            "a data block of DIALS 1 holds no experiments",
            found=str(path),
            fix="import the images again with DIALS 2 or later, or: unstill index IMAGES",
        )
    raise FormatError("this JSON holds no experiments", found=str(path), fix=_KNOWN)


def _xds_kind(start: bytes) -> str:
    """Tell XDS files by their titles and keywords; empty for anything else."""
    if b"\0" in start:
        return ""
    if start.lstrip().startswith(b"XPARM.XDS"):
        return "XPARM.XDS"
    if b"***** INTEGRATE *****" in start:
        return "INTEGRATE.LP"
    listing = b"*****" in start and b"(VERSION" in start
    if not listing and b"=" in start and (b"JOB=" in start or b"DETECTOR_DISTANCE=" in start):
        return "XDS.INP"
    return ""


def _read_inp(path: Path, space_group: str | None) -> Experiment:
    """Read what XDS refined, where it lies beside its input."""
    for name, read in (
        ("INTEGRATE.LP", read_integrate),
        ("GXPARM.XDS", read_xparm),
        ("XPARM.XDS", read_xparm),
    ):
        refined = beside_of(path, name)
        if refined is not None:
            return read(refined, space_group=space_group)
    return read_xds_inp(path, space_group=space_group)


def _what(start: bytes, path: Path) -> str:
    """Say what a file is instead, as far as its first bytes tell."""
    if is_reflection_table(start):
        return f"a table of reflections, {path}; its experiments are in the .expt beside it"
    if start.startswith(b"\x89HDF"):
        return f"an HDF5 file, {path}: images or a map"
    if b"HEADER_BYTES=" in start[:64] or start.startswith(b"###CBF"):
        return f"an image, {path}: index it (unstill index)"
    if start.startswith((b"\x1f\x8b", b"BZh", b"PK")):
        return f"a packed file, {path}: unpack it"
    return str(path)
