"""Where and when lattice points reflect: hkl → rotation angle, ray, pixel.

The inverse of ``pixels``: what is predicted here lands, pixel by pixel and
angle by angle, on the hkl that the exact geometry gives there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.experiment.detector import Detector, Panel
from unstill.experiment.experiment import Experiment
from unstill.experiment.pixels import parallax_shift
from unstill.experiment.scan import Scan
from unstill.shapes import Float, Num

_TURN = 360.0

_ROUNDS = 50
"""Of the search for the angle where the lattice drifts; four are usual."""


@dataclass(frozen=True, eq=False)
class Spots:
    """Predicted reflections; row by row one crossing of the Ewald sphere.

    Parameters
    ----------
    index
        ``(n,)`` row of the hkl that were given.
    phi
        ``(n,)`` rotation angle (degrees).
    frame
        ``(n,)`` position in frames; i + 0.5 is the middle of frame i.
    fast, slow
        ``(n,)`` pixel coordinates, pixel centres at i + ½.
    panel
        ``(n,)`` number of the panel.
    s1
        ``(n, 3)`` scattered wave vector (Å⁻¹).
    """

    index: np.ndarray
    phi: np.ndarray
    frame: np.ndarray
    fast: np.ndarray
    slow: np.ndarray
    panel: np.ndarray
    s1: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


def predict_spots(
    experiment: Experiment,
    hkl: Num[np.ndarray, "n 3"],
    *,
    max_excitation: float = 2e-3,
) -> Spots:
    """Every crossing of the Ewald sphere during the scan that hits a panel.

    With r = F A h, solves |s₀ + S R(φ) r| = |s₀| for φ in closed form, both
    roots, all turns of the scan. Where A drifts with the scan the solution is
    repeated with A at the angle that it gave.

    Parameters
    ----------
    experiment
        With a lattice.
    hkl
        Miller coordinates, whole or fractional.
    max_excitation
        For stills: largest distance of a lattice point from the Ewald sphere (Å⁻¹).

    Raises
    ------
    InputError
        If the experiment is not indexed, or its frames are at one angle.
    """
    hkl = np.asarray(hkl, dtype=float).reshape(-1, 3)
    scan = experiment.scan
    if scan is None or experiment.goniometer is None or scan.phi_width == 0:
        return _still_spots(experiment, hkl, max_excitation)
    if scan.phi_step == 0:
        raise InputError(
            "the frames of the scan are all at one angle",
            found=f"steps of 0 degrees over {scan.n_frames} frames",
            fix="give the step between frames, or one experiment a frame",
        )
    rows, phi = _crossings(experiment, hkl)
    frame = _frame_of(scan, phi)
    exposed = (frame >= 0) & (frame <= scan.n_frames)
    rows, phi, frame = rows[exposed], phi[exposed], frame[exposed]
    r = np.einsum("nij,nj->ni", _rested(experiment, frame), hkl[rows])
    axis = np.array(experiment.goniometer.rotation_axis)
    s = _turned(r, axis, phi) @ experiment.goniometer.setting_rotation.T
    return _on_panels(experiment, rows, phi, frame, s + experiment.beam.s0)


def ray_to_pixel(
    panel: Panel, s1: Float[np.ndarray, "*rays 3"]
) -> tuple[Float[np.ndarray, "*rays"], Float[np.ndarray, "*rays"]]:
    """Pixel coordinates at which a panel records rays; the inverse of ``lab_positions``.

    Parameters
    ----------
    panel
        Its edges do not matter: rays beside it get coordinates beside it.
    s1
        Directions from the sample, of any length.

    Returns
    -------
    fast, slow
        Continuous pixel coordinates, with parallax where the panel has it; NaN
        for rays that never meet the plane of the panel.
    """
    rays = np.asarray(s1, dtype=float)
    origin, normal = np.array(panel.origin), panel.normal
    with np.errstate(divide="ignore", invalid="ignore"):
        length = (origin @ normal) / (rays @ normal)
        front = np.where((length > 0)[..., None], rays * length[..., None], np.nan)
    position = front
    if panel.parallax and panel.mu > 0 and panel.thickness > 0:
        # The shift changes by a thousandth of itself from pixel to pixel: a few rounds do.
        for _ in range(12):
            position = front + parallax_shift(panel, position)
    on_panel = position - origin
    fast: np.ndarray = on_panel @ np.array(panel.fast_axis)
    slow: np.ndarray = on_panel @ np.array(panel.slow_axis)
    skew = float(np.dot(panel.fast_axis, panel.slow_axis))
    # Axes at other than right angles: coordinates along them, not projections on them.
    along_fast = (fast - skew * slow) / (1 - skew**2) / panel.pixel_size[0]
    along_slow = (slow - skew * fast) / (1 - skew**2) / panel.pixel_size[1]
    return np.asarray(along_fast), np.asarray(along_slow)


def rays_to_pixels(
    detector: Detector, s1: Float[np.ndarray, "n 3"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Panel and pixel coordinates of rays; panel −1 and NaN for those that hit none.

    Returns
    -------
    panel, fast, slow
        ``(n,)`` each.
    """
    panel = np.full(len(s1), -1)
    fast, slow = np.full(len(s1), np.nan), np.full(len(s1), np.nan)
    for number, one in enumerate(detector.panels):
        f, s = ray_to_pixel(one, s1)
        with np.errstate(invalid="ignore"):
            hit = (f >= 0) & (f < one.image_size[0]) & (s >= 0) & (s < one.image_size[1])
        hit &= panel < 0
        panel[hit], fast[hit], slow[hit] = number, f[hit], s[hit]
    return panel, fast, slow


def _still_spots(experiment: Experiment, hkl: np.ndarray, max_excitation: float) -> Spots:
    """Reflections of frames during which nothing turns."""
    hkl_rows, frames, rays = [], [], []
    for i in range(experiment.n_frames):
        s1 = hkl @ experiment.setting(i + 0.5).T + experiment.beam.s0
        length = np.linalg.norm(s1, axis=1)
        near = np.abs(length - 1 / experiment.beam.wavelength) <= max_excitation
        rows = np.flatnonzero(near & np.any(hkl != 0, axis=1))
        hkl_rows.append(rows)
        frames.append(np.full(len(rows), i + 0.5))
        rays.append(s1[rows])
    frame = np.concatenate(frames)
    phi = np.array([experiment.phi(position) for position in frame])
    return _on_panels(experiment, np.concatenate(hkl_rows), phi, frame, np.concatenate(rays))


def _frame_of(scan: Scan, phi: np.ndarray) -> np.ndarray:
    """Position in frames of rotation angles; NaN for those between two exposures."""
    whole, inside = _whole_and_inside(scan, phi)
    position: np.ndarray = np.where(inside <= 1, whole + inside, np.nan)
    return position


def _whole_and_inside(scan: Scan, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frame of rotation angles, and which share of its exposure is over; above 1 after it."""
    steps = (phi - scan.phi_start) / scan.phi_step
    whole = np.floor(steps)
    return whole, (steps - whole) * (scan.phi_step / float(scan.phi_width or 1.0))


def _on_panels(
    experiment: Experiment, rows: np.ndarray, phi: np.ndarray, frame: np.ndarray, s1: np.ndarray
) -> Spots:
    panel, fast, slow = rays_to_pixels(experiment.detector, s1)
    hit = np.flatnonzero(panel >= 0)
    order = hit[np.lexsort((rows[hit], frame[hit]))]
    return Spots(
        rows[order], phi[order], frame[order], fast[order], slow[order], panel[order], s1[order]
    )


def _crossings(experiment: Experiment, hkl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and angles of all crossings within the scan, or near its ends."""
    scan = experiment.scan
    assert scan is not None
    ends = np.sort([scan.phi_start, scan.phi_start + scan.n_frames * scan.phi_step])
    middle = np.full(len(hkl), scan.n_frames / 2)
    r = np.einsum("nij,nj->ni", _rested(experiment, middle), hkl)
    rows, turns, signs = [], [], []
    # The drift of the lattice can carry a crossing over the end of the scan.
    margin = 0.0 if _is_constant(experiment) else 5.0
    for sign in (-1.0, 1.0):
        phi = _solve(experiment, r, sign)
        first = np.ceil((ends[0] - margin - phi) / _TURN)
        last = np.floor((ends[1] + margin - phi) / _TURN)
        number = np.nan_to_num(last - first + 1, nan=0.0).astype(int).clip(0)
        row = np.repeat(np.arange(len(hkl)), number)
        step = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
        rows.append(row)
        turns.append(phi[row] + _TURN * (np.nan_to_num(first)[row] + step))
        signs.append(np.full(len(row), sign))
    row, phi = np.concatenate(rows), np.concatenate(turns)
    if _is_constant(experiment):
        return row, phi
    return _refined(experiment, hkl, row, phi, np.concatenate(signs))


def _refined(
    experiment: Experiment, hkl: np.ndarray, row: np.ndarray, phi: np.ndarray, sign: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Repeat the solution with the lattice at the angle that it gave."""
    scan = experiment.scan
    assert scan is not None
    change = np.full(len(phi), np.inf)
    for _ in range(_ROUNDS):
        whole, inside = _whole_and_inside(scan, phi)
        # Between two exposures the lattice waits where the first one left it.
        frame = whole + np.minimum(inside, 1.0)
        r = np.einsum("nij,nj->ni", _rested(experiment, frame), hkl[row])
        again = np.where(sign < 0, _solve(experiment, r, -1.0), _solve(experiment, r, 1.0))
        again += _TURN * np.round((phi - again) / _TURN)
        crosses = np.isfinite(again)
        row, sign = row[crosses], sign[crosses]
        change, phi = np.abs(again - phi)[crosses], again[crosses]
        if not np.any(change > 1e-10):
            break
    found = change <= 1e-6
    return row[found], phi[found]


def _solve(experiment: Experiment, r: np.ndarray, sign: float) -> np.ndarray:
    """Angle at which R(φ) r is on the Ewald sphere (degrees); NaN where it never is."""
    goniometer = experiment.goniometer
    assert goniometer is not None
    axis = np.array(goniometer.rotation_axis)
    s0 = goniometer.setting_rotation.T @ experiment.beam.s0
    along = (r @ axis)[:, None] * axis
    # s·s₀ = −|s|²/2:  cos φ (r⊥·s₀) + sin φ ((e × r)·s₀) = −|r|²/2 − r∥·s₀
    cosine, sine = (r - along) @ s0, np.cross(axis, r) @ s0
    right = -np.einsum("ni,ni->n", r, r) / 2 - along @ s0
    size = np.hypot(cosine, sine)
    with np.errstate(divide="ignore", invalid="ignore"):
        phi: np.ndarray = np.degrees(np.arctan2(sine, cosine) + sign * np.arccos(right / size))
    phi[np.einsum("ni,ni->n", r, r) == 0] = np.nan
    return phi


def _rested(experiment: Experiment, frame: np.ndarray) -> np.ndarray:
    """F A at positions in frames, ``(n, 3, 3)``."""
    lattice, goniometer = experiment.indexed_lattice, experiment.goniometer
    assert goniometer is not None
    matrices: np.ndarray = goniometer.fixed_rotation @ lattice.a_at(frame)
    return matrices


def _is_constant(experiment: Experiment) -> bool:
    return experiment.indexed_lattice.a_at_scan_points is None


def _turned(r: np.ndarray, axis: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Rotate each vector by its own angle about one axis."""
    angle = np.radians(phi)[:, None]
    along = (r @ axis)[:, None] * axis
    turned: np.ndarray = along + np.cos(angle) * (r - along) + np.sin(angle) * np.cross(axis, r)
    return turned
