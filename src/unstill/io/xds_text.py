"""Keywords and numbers of XDS text files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from unstill.errors import FormatError
from unstill.experiment import Beam, Panel
from unstill.io.reading import REMEDY

_KEY = re.compile(r"([A-Z][A-Z0-9._'/()-]*(?:_[A-Z0-9.'/()-]+)*)=", re.ASCII)

XDS_SHIFT = 0.5
"""XDS counts the centre of the first pixel as 1, we as 0.5: pixel(XDS) = pixel + 0.5."""

Vector = tuple[float, float, float]


class Keywords:
    """``KEY= value`` pairs of an XDS file, comments removed; a key may come again.

    Parameters
    ----------
    text
        Content of the file.
    path
        For messages.
    """

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        self._values: dict[str, list[str]] = {}
        for line in text.splitlines():
            content = line.split("!", 1)[0]
            found = list(_KEY.finditer(content))
            for here, after in zip(found, [*found[1:], None], strict=False):
                value = content[here.end() : after.start() if after else None]
                self._values.setdefault(here[1], []).append(value.strip())

    def __contains__(self, key: str) -> bool:
        return bool(self._values.get(key))

    def text(self, key: str) -> str:
        """Return the last value of a key."""
        if key not in self:
            self.fail(f"{key}= is missing", "no such line")
        return self._values[key][-1]

    def numbers(self, key: str, n: int) -> tuple[float, ...]:
        """Return the first ``n`` numbers of the last value of a key."""
        return parse_numbers(self.text(key), n, self.path, key)

    def number(self, key: str, default: float | None = None) -> float:
        """Return one number, or a default where the key is missing."""
        if key not in self and default is not None:
            return default
        return self.numbers(key, 1)[0]

    def vector(self, key: str, default: Vector | None = None) -> Vector:
        """Return three numbers, or a default where the key is missing."""
        if key not in self and default is not None:
            return default
        x, y, z = self.numbers(key, 3)
        return x, y, z

    def all_numbers(self, key: str, n: int) -> list[tuple[float, ...]]:
        """Return the numbers of every line with this key."""
        return [parse_numbers(v, n, self.path, key) for v in self._values.get(key, [])]

    def fail(self, what: str, found: str) -> NoReturn:
        """Raise ``FormatError`` that names the file."""
        raise FormatError(what, found=f"{found} in {self.path}", fix=REMEDY)


def parse_numbers(text: str, n: int, path: Path, name: str) -> tuple[float, ...]:
    """Read ``n`` finite numbers from the beginning of a text."""
    words = text.split()[:n]
    try:
        values = tuple(float(word.replace("D", "E")) for word in words)
    except ValueError:
        values = ()
    if len(values) != n or not np.all(np.isfinite(values)):
        raise FormatError(
            f"{name} needs {n} number{'s' if n > 1 else ''}",
            found=f"{text.strip()[:60]!r} in {path}",
            fix=REMEDY,
        )
    return values


def xds_panel(
    *,
    size: tuple[int, int],
    pixel: tuple[float, float],
    center: tuple[float, float],
    distance: float,
    fast: Vector,
    slow: Vector,
    **more: object,
) -> Panel:
    """Make a panel from XDS numbers.

    x = D n + (x − ORGX) q_x e_x + (y − ORGY) q_y e_y, n = e_x × e_y, D negative
    where n points to the source.
    """
    f, s = np.array(fast), np.array(slow)
    f, s = f / np.linalg.norm(f), s / np.linalg.norm(s)
    origin = (
        distance * np.cross(f, s)
        + (XDS_SHIFT - center[0]) * pixel[0] * f
        + (XDS_SHIFT - center[1]) * pixel[1] * s
    )
    x, y, z = (float(value) for value in origin)
    return Panel((x, y, z), fast, slow, pixel, size, **more)  # type: ignore[arg-type]


def panel_in_xds(panel: Panel) -> tuple[tuple[float, float], float]:
    """Return ORGX, ORGY and the distance of a panel, with the sign that XDS gives it."""
    origin = np.array(panel.origin)
    distance = float(origin @ panel.normal)
    skew = float(np.dot(panel.fast_axis, panel.slow_axis))
    fast, slow = float(origin @ panel.fast_axis), float(origin @ panel.slow_axis)
    along_fast = (fast - skew * slow) / (1 - skew**2)
    along_slow = (slow - skew * fast) / (1 - skew**2)
    center = (
        XDS_SHIFT - along_fast / panel.pixel_size[0],
        XDS_SHIFT - along_slow / panel.pixel_size[1],
    )
    return center, distance


def xds_beam(
    wavelength: float, incident: Sequence[float], keywords: Keywords | None = None
) -> Beam:
    """Make a beam from XDS numbers; the polarisation is that of ``XDS.INP``, if there."""
    x, y, z = (-float(value) for value in incident)
    normal: Vector = (0.0, 1.0, 0.0)
    share = 0.5  # the default of XDS
    if keywords is not None:
        normal = keywords.vector("POLARIZATION_PLANE_NORMAL", normal)
        share = keywords.number("FRACTION_OF_POLARIZATION", share)
    return Beam(wavelength, (x, y, z), normal, share)
