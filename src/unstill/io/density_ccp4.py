"""CCP4/MRC maps of density in real space.

Reference: Cheng et al. (2015), *J. Struct. Biol.* 192, 146–150,
https://doi.org/10.1016/j.jsb.2015.04.002.
"""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError, InputError
from unstill.io.atomic import atomic_path
from unstill.io.reading import parsing
from unstill.maps.density_map import DensityMap

_LABEL = "density by unstill"
_LABELS, _LABEL_BYTES = 10, 80


def read_density_map(path: Path) -> DensityMap:
    """Read a CCP4 or MRC map, any axis order; a box is placed in its cell, the rest is NaN.

    Symmetry mates of the box are filled in.

    Raises
    ------
    FormatError
        If the file is damaged, or no map.
    InputError
        If the grid does not suit the space group of the header, or the map stands on an
        origin that grid points cannot hold.
    """
    path = Path(path)
    with parsing(path, "a CCP4 or MRC map"):
        if not path.exists():
            raise FileNotFoundError(2, "no such file", str(path))
        ccp4 = gemmi.read_ccp4_map(str(path))
        if ccp4.axis_positions() == [-1, -1, -1]:
            raise FormatError(
                f"{path.name} does not say its axes", found="MAPC, MAPR, MAPS", fix="convert it"
            )
        _check_origin(ccp4, path)
        try:
            ccp4.setup(float("nan"))
        except RuntimeError as error:
            raise InputError(
                f"the grid of {path.name} does not suit its space group",
                found=str(error),
                fix="correct the space group in the header, or write the map in P 1",
            ) from error
        grid = ccp4.grid
        cell = grid.unit_cell
        group = grid.spacegroup or gemmi.SpaceGroup("P 1")
        crystal = Crystal((cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma), group.xhm())
        return DensityMap(crystal, np.array(grid.array, dtype=float), {"path": str(path)})


def write_density_map(density: DensityMap, path: Path) -> None:
    """Write the whole cell as a CCP4 map, mode 2 (float32).

    Raises
    ------
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    ccp4 = gemmi.Ccp4Map()
    grid = gemmi.FloatGrid(np.ascontiguousarray(density.values, dtype=np.float32))
    grid.set_unit_cell(density.crystal.cell)
    grid.spacegroup = density.crystal.group
    ccp4.grid = grid
    ccp4.update_ccp4_header(2)
    for number, label in enumerate([_LABEL, *_told(density)][:_LABELS]):
        ccp4.set_header_str(57 + _LABEL_BYTES // 4 * number, label[:_LABEL_BYTES].ljust(80))
    ccp4.set_header_i32(56, min(_LABELS, 1 + len(_told(density))))
    with atomic_path(Path(path)) as temporary:
        ccp4.write_ccp4_map(str(temporary))


def _told(density: DensityMap) -> list[str]:
    """Lines that tell how the map was made; the first ten find room."""
    told = density.provenance
    version = dict(told.get("versions", {})).get("unstill", "")
    lines = [f"command: {told['command']} {version}"] if "command" in told else []
    lines += [f"sha256 {entry['sha256']}" for entry in told.get("inputs", ())]
    if told.get("seed") is not None:
        lines.append(f"seed: {told['seed']}")
    lines += [f"{name}: {value}" for name, value in dict(told.get("parameters", {})).items()]
    return [line.encode("ascii", "replace").decode() for line in lines]


def _check_origin(ccp4: gemmi.Ccp4Map, path: Path) -> None:
    """Refuse maps shifted by the ORIGIN words of MRC, which many programs ignore."""
    origin = np.array([ccp4.header_float(word) for word in (50, 51, 52)])
    start = np.array([ccp4.header_i32(word) for word in (5, 6, 7)])
    if np.abs(origin).max() > 1e-3 and not start.any():
        raise InputError(
            f"{path.name} is shifted by the ORIGIN of its header",
            found=f"ORIGIN {origin.round(3).tolist()} Å with NXSTART 0, 0, 0",
            fix="move the model into the frame of the map and set ORIGIN to zero, or write the "
            "shift as NXSTART",
        )
