"""Planes as images."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.slices import Plane, extract_plane
from unstill.report.plane_image import write_plane_image


def plane_of(values: np.ndarray, gamma: float = 90.0) -> Plane:
    grid = HklGrid((-5, -5, 0), (*values.shape, 1))
    crystal = Crystal((20.0, 20.0, 28.0, 90.0, 90.0, gamma))
    return extract_plane(IntensityMap(crystal, grid, values[..., np.newaxis]), "l", 0.0)


def pixels(path: Path) -> np.ndarray:
    return matplotlib.image.imread(path)[..., :3]


def test_masked_voxels_are_grey_and_the_sign_is_a_colour(tmp_path: Path) -> None:
    values = np.full((11, 11), 3.0)
    values[:4] = -3.0
    values[7:] = np.nan
    path = tmp_path / "plane.png"
    write_plane_image(plane_of(values), path, signed=True)
    image = pixels(path)
    red = (image[..., 0] > image[..., 2] + 0.2).mean()
    blue = (image[..., 2] > image[..., 0] + 0.2).mean()
    grey = (np.abs(image - 200 / 255).max(axis=-1) < 0.01).mean()
    assert red > 0.1
    assert blue > 0.1
    assert grey > 0.1


def test_a_hexagonal_plane_is_drawn_at_its_angle(tmp_path: Path) -> None:
    shapes = []
    for gamma in (90.0, 120.0):
        path = tmp_path / f"{gamma:g}.png"
        write_plane_image(plane_of(np.ones((11, 11)), gamma), path, signed=False)
        image = pixels(path)
        # The background shows in the corners of the parallelogram only.
        shapes.append((np.abs(image - 200 / 255).max(axis=-1) < 0.01).mean())
    assert shapes[0] < 0.01
    assert shapes[1] > 0.05


def test_every_image_format_is_written(tmp_path: Path) -> None:
    for suffix in (".png", ".svg", ".pdf"):
        path = tmp_path / f"plane{suffix}"
        write_plane_image(plane_of(np.ones((3, 3))), path, signed=False)
        assert path.stat().st_size > 500


def test_empty_planes_and_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no voxel of the plane"):
        write_plane_image(plane_of(np.full((3, 3), np.nan)), tmp_path / "a.png", signed=False)
    with pytest.raises(InputError, match="no image format"):
        write_plane_image(plane_of(np.ones((3, 3))), tmp_path / "a.gif", signed=False)
    assert not list(tmp_path.iterdir())
