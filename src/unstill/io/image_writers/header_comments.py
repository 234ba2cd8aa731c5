"""The comments that Dectris software writes into CBF and TIFF files."""

from __future__ import annotations

from unstill.experiment import FrameHeader

_MATERIALS = {"Si": "Silicon", "CdTe": "CdTe", "GaAs": "GaAs", "Ge": "Germanium"}


def header_comments(header: FrameHeader, cutoff: int) -> str:
    """Write what is known of a frame as lines ``# Key value unit``.

    Parameters
    ----------
    header
        Unknown values are left out.
    cutoff
        Pixels of this value or more are overloaded.

    Examples
    --------
    >>> header_comments(FrameHeader(wavelength=1.0, distance=250.0), 1000).splitlines()[1:3]
    ['# Wavelength 1.000000 A', '# Detector_distance 0.25000000 m']
    """
    lines = [f"# Detector: {header.detector or 'simulated'}"]
    lines += [line for line in (_geometry(header), _exposure(header)) if line]
    lines.append(f"# Count_cutoff {cutoff} counts")
    return "\n".join(line for text in lines for line in text.split("\n")) + "\n"


def _geometry(header: FrameHeader) -> str:
    lines = []
    if header.wavelength is not None:
        lines.append(f"# Wavelength {header.wavelength:.6f} A")
    if header.distance is not None:
        lines.append(f"# Detector_distance {header.distance / 1000:.8f} m")
    if header.beam_center is not None:
        x, y = header.beam_center
        lines.append(f"# Beam_xy ({x:.4f}, {y:.4f}) pixels")
    if header.pixel_size is not None:
        x, y = header.pixel_size
        lines.append(f"# Pixel_size {x / 1000:.4e} m x {y / 1000:.4e} m")
    if header.thickness is not None:
        material = _MATERIALS.get(header.material or "", header.material or "Silicon")
        lines.append(f"# {material} sensor, thickness {header.thickness / 1000:.6f} m")
    return "\n".join(lines)


def _exposure(header: FrameHeader) -> str:
    lines = []
    if header.timestamp is not None:
        lines.append(f"# {header.timestamp}")
    if header.exposure_time is not None:
        lines.append(f"# Exposure_time {header.exposure_time:.7f} s")
        lines.append(f"# Exposure_period {header.exposure_time:.7f} s")
    if header.transmission is not None:
        lines.append(f"# Filter_transmission {header.transmission:.6f}")
    if header.phi_start is not None:
        lines.append(f"# Start_angle {header.phi_start:.6f} deg.")
    if header.phi_width is not None:
        lines.append(f"# Angle_increment {header.phi_width:.6f} deg.")
    return "\n".join(lines)
