"""Crystals of DIALS files: axes, drift with the scan, space group."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError
from unstill.experiment import Lattice, Scan
from unstill.experiment.lattice import cell_of
from unstill.experiment.rotation import rotation_about
from unstill.io.dials_models import Turning
from unstill.io.json_node import Node, placed
from unstill.io.metric_check import checked_metric


def read_lattice(
    node: Node, turning: Turning | None, scan: Scan | None, space_group: str | None
) -> Lattice:
    """Return a lattice with its space group, or with the given one.

    Parameters
    ----------
    node
        ``crystal`` of an experiment list.
    turning, scan
        Needed where the setting of the goniometer drifts.
    space_group
        In place of the stored one; the cell must allow it.
    """
    axes = np.array([node.need(f"real_space_{name}").numbers(3) for name in "abc"])
    points = node.members("A_at_scan_points")
    stack = np.array([point.matrix() for point in points]) if points else None
    half_width = node.child("ML_half_mosaicity_deg") or node.child("mosaicity")
    with placed(node):
        # Cells of more than a centimetre are damage.
        if np.abs(axes).max() > 1e8 or abs(np.linalg.det(axes)) < 1e-6:
            node.fail("the axes of the crystal span no volume", f"{axes.tolist()}")
        crystal = Crystal(cell_of(axes), space_group or _stored_group(node))
        crystal, a_matrix = _exactly(node, crystal, np.linalg.inv(axes))
        lattice = Lattice(
            crystal,
            a_matrix,
            stack,
            0.0 if half_width is None else half_width.number(),
        )
    checked_metric(lattice, node.where, overridden=space_group is not None)
    if turning is not None and turning.settings and scan is not None:
        lattice = _with_drifting_setting(lattice, turning, scan, node)
    return lattice


def _exactly(node: Node, crystal: Crystal, a_matrix: np.ndarray) -> tuple[Crystal, np.ndarray]:
    """Take what unstill wrote beside the axes, as long as it says the same."""
    cell, matrix = node.child("unit_cell"), node.child("a_matrix")
    if cell is not None and np.allclose(cell.numbers(6), crystal.unit_cell, rtol=1e-9):
        a, b, c, alpha, beta, gamma = cell.numbers(6)
        crystal = Crystal((a, b, c, alpha, beta, gamma), crystal.space_group)
    if matrix is not None and np.allclose(matrix.matrix(), a_matrix, rtol=1e-9, atol=1e-12):
        a_matrix = matrix.matrix()
    return crystal, a_matrix


def _stored_group(node: Node) -> str:
    hall = node.child("space_group_hall_symbol")
    if hall is None:
        node.fail("the crystal has no space group", "no 'space_group_hall_symbol'")
    symbol = hall.text()
    try:
        found = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(symbol))
    except (ValueError, RuntimeError):
        hall.fail("this is no Hall symbol")
    if found is None:
        raise FormatError(
            "the setting of the space group is in no table",
            found=f"Hall symbol {symbol!r} at {hall.where}",
            fix="reindex to a standard setting, or name the group: --space-group",
        )
    return str(found.xhm())


def _with_drifting_setting(lattice: Lattice, turning: Turning, scan: Scan, node: Node) -> Lattice:
    """Put the drift of the goniometer into the setting matrices: S R F A' = S_i R F A_i."""
    n = scan.n_frames + 1
    if len(turning.settings) != n:
        node.fail(
            "the settings of the goniometer do not match the scan",
            f"{len(turning.settings)} for {scan.n_frames} images",
        )
    given = lattice.a_at_scan_points
    constant = [lattice.a_matrix] * n if given is None else list(given)
    setting, fixed = turning.goniometer.setting_rotation, turning.goniometer.fixed_rotation
    moved = []
    for i, (a_matrix, drifted) in enumerate(zip(constant, turning.settings, strict=True)):
        turned = rotation_about(turning.goniometer.rotation_axis, scan.phi(float(i))) @ fixed
        moved.append(np.linalg.inv(setting @ turned) @ drifted @ turned @ a_matrix)
    return replace(lattice, a_at_scan_points=np.array(moved))
