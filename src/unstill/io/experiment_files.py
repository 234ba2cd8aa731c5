"""Geometry files of any format, told apart by their content."""

from __future__ import annotations

from pathlib import Path

from unstill.errors import FormatError
from unstill.experiment import Experiment
from unstill.io.dials_expt import experiments_of, is_experiment_list
from unstill.io.json_node import read_json
from unstill.io.reading import head

_KNOWN = (
    "give a DIALS experiment list (.expt), XPARM.XDS, XDS.INP with INTEGRATE.LP, "
    "or an experiment file of unstill"
)


def read_experiments(path: Path, *, space_group: str | None = None) -> list[Experiment]:
    """Read a geometry file.

    Parameters
    ----------
    path
        A DIALS experiment list of any version.
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
    if start.lstrip()[:1] not in (b"{", b"["):
        raise FormatError("this is no geometry file", found=str(path), fix=_KNOWN)
    root = read_json(path)
    if not is_experiment_list(root.value):
        raise FormatError("this JSON holds no experiments", found=str(path), fix=_KNOWN)
    return experiments_of(root, path, space_group=space_group)
