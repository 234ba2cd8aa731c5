"""Geometry files of real data sets: what they say, and what refined spots prove."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unstill.errors import FormatError
from unstill.experiment import Experiment
from unstill.experiment.extent import beam_center, edge_resolution
from unstill.experiment.lattice import cell_of, polar
from unstill.experiment.pixels import lab_positions, scattering_vectors
from unstill.experiment.predict import predict_spots
from unstill.io.dials_expt import write_expt
from unstill.io.dials_refl import USED_IN_REFINEMENT, read_refl
from unstill.io.experiment_files import read_experiments

READ = {
    "centroid_test_data_indexed.expt": (1, (42.21, 42.21, 39.69), "P 4 2 2", 191.16, 9),
    "image_examples_SACLA-MPCCD-run266702-0-subset-known_orientations.expt": (
        4, (77.69, 77.69, 36.65), "P 4/m m m", 49.28, 1,
    ),
    "indexing_test_data_phi_scan_old.expt": (1, None, None, 90.29, 320),
    "insulin_processed_refined.expt": (1, (78.09, 78.09, 78.09), "I 2 3", 158.71, 45),
    "insulin_processed_scaled.expt": (1, (78.09, 78.09, 78.09), "I 2 3", 158.71, 45),
    "l_cysteine_narrow_wedge_11_integrated.expt": (1, (5.43, 8.13, 12.06), "P 2 2 2", 159.74, 10),
    "lys_ortho_INTEGRATE.LP": (1, (30.48, 56.38, 73.85), "P 21 21 21", 275.03, 500),
    "lys_ortho_XDS.INP": (1, (30.48, 56.38, 73.85), "P 21 21 21", 275.03, 500),
    "mpro-x0305_processed_indexed.expt": (1, (44.47, 52.85, 62.23), "P 1", 323.51, 400),
    "refined_experiments.json": (2, (48.39, 48.39, 63.31), "P 4", 57.27, 28),
}  # fmt: skip
"""Name → experiments, cell, space group, distance and frames of the first."""

REFUSED = {
    ".refl": "table of reflections",
    ".gz": "packed file",
    ".img": "an image",
    ".pdb": "no geometry",
    ".lat": "no geometry",
}


def test_every_file_is_read_or_refused_with_its_kind(unstill_data: Path) -> None:
    seen = set()
    for folder in ("geometry", "snase"):
        for path in sorted((unstill_data / folder).iterdir()):
            if path.name in READ:
                seen.add(path.name)
                continue
            with pytest.raises(FormatError, match=REFUSED[path.suffix]):
                read_experiments(path)
    assert seen == set(READ)


@pytest.mark.parametrize("name", READ)
def test_geometry_files_say_what_is_known_of_them(
    unstill_data: Path, tmp_path: Path, name: str
) -> None:
    experiments = read_experiments(find(unstill_data, name))
    n, cell, group, distance, frames = READ[name]
    first = experiments[0]
    assert len(experiments) == n
    assert first.detector.panels[0].distance == pytest.approx(distance, abs=0.01)
    assert first.n_frames == frames
    if cell is None:
        assert first.lattice is None
    else:
        assert first.crystal.unit_cell[:3] == pytest.approx(cell, abs=0.01)
        assert first.crystal.space_group == group
    again = tmp_path / "again.expt"
    write_expt(again, experiments)
    for before, after in zip(experiments, read_experiments(again), strict=True):
        assert before.detector == after.detector
        if before.lattice is not None:
            np.testing.assert_array_equal(before.setting(0.3), after.setting(0.3))


def find(folder: Path, name: str) -> Path:
    return folder / ("snase" if name.endswith(".json") else "geometry") / name


def one(folder: Path, name: str) -> Experiment:
    return read_experiments(find(folder, name))[0]


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("centroid_test_data_indexed", 1e-9),
        # DIALS inverts the parallax in one step, we to the end.
        ("l_cysteine_narrow_wedge_11_integrated", 5e-4),
    ],
)
def test_spots_are_predicted_where_dials_predicts_them(
    unstill_data: Path, name: str, tolerance: float
) -> None:
    """Pixels and frames, with parallax and a two-axis goniometer in the second file."""
    experiment = one(unstill_data, f"{name}.expt")
    table = read_refl(unstill_data / "geometry" / f"{name}.refl")
    indexed = (table["id"] >= 0) & np.any(table["miller_index"] != 0, axis=1)
    hkl, there = table["miller_index"][indexed], table["xyzcal.px"][indexed]
    spots = predict_spots(experiment, hkl)
    assert experiment.scan is not None
    here = np.column_stack([spots.fast, spots.slow, spots.frame + experiment.scan.first_image - 1])
    off = np.abs(here - there[spots.index])
    same = off[:, 2] < 100
    assert same.sum() >= 25
    assert off[same].max() <= tolerance


@pytest.mark.parametrize(
    "name", ["centroid_test_data_indexed", "l_cysteine_narrow_wedge_11_integrated"]
)
def test_observed_spots_have_the_indices_they_were_given(unstill_data: Path, name: str) -> None:
    """At the pixel where they were seen, and the angle at which they reflect.

    Those with which DIALS refined; it left others out as outliers.
    """
    experiment = one(unstill_data, f"{name}.expt")
    table = read_refl(unstill_data / "geometry" / f"{name}.refl")
    used = (table["flags"] & USED_IN_REFINEMENT) > 0
    seen, angle = table["xyzobs.px.value"][used], table["xyzcal.px"][used][:, 2]
    s = scattering_vectors(experiment.beam, experiment.detector.panels[0], seen[:, 0], seen[:, 1])
    found = np.array([experiment.hkl_matrix(z) @ v for z, v in zip(angle, s, strict=True)])
    off = np.linalg.norm(found - table["miller_index"][used], axis=1)
    assert np.mean(off <= 0.05) >= 0.99
    assert np.median(off) <= 0.015


def test_lab_coordinates_are_those_of_dials(unstill_data: Path) -> None:
    """Numbers that DIALS 3.12 gave for two pixels of the tilted, swung-out Pilatus."""
    panel = one(unstill_data, "l_cysteine_narrow_wedge_11_integrated.expt").detector.panels[0]
    found = lab_positions(panel, np.array([3.5, 1200.5]), np.array([7.25, 1600.75]))
    expected = [
        [-128.01895146562853, -46.31870596338141, -210.72547320275558],
        [112.93729128110752, 165.01060984122654, -89.53577408136213],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_refined_batches_of_xds_keep_their_cells(unstill_data: Path) -> None:
    experiment = one(unstill_data, "lys_ortho_INTEGRATE.LP")
    points = experiment.indexed_lattice.a_at_scan_points
    assert points is not None
    # The first and last batch of the listing; refined cells, not the mean one.
    for at, cell in ((0, (30.467, 56.364, 73.860)), (-1, (30.489, 56.414, 73.872))):
        assert cell_of(np.linalg.inv(points[at]))[:3] == pytest.approx(cell, abs=2e-3)
    panel, beam = experiment.detector.panels[0], experiment.beam
    assert len(panel.masked) > 15
    assert beam.polarization_fraction == 0.9
    # XDS counts pixels from one half more; its direct beam is at 1189.3, 1243.3 in all batches.
    center = beam_center(beam, experiment.detector)
    assert center is not None
    assert (center[1] + 0.5, center[2] + 0.5) == pytest.approx((1189.27, 1243.3), abs=0.1)
    # The axes are those at angle 0: they do not turn with the 50 degrees of the scan.
    turned = polar(points[-1])[0] @ polar(points[0])[0].T
    assert np.degrees(np.arccos((np.trace(turned) - 1) / 2)) < 0.1
    limit = edge_resolution(beam, experiment.detector)
    assert limit == pytest.approx(1.56, abs=0.01)


def test_panels_of_a_tiled_detector_lie_side_by_side(unstill_data: Path) -> None:
    detector = one(
        unstill_data, "image_examples_SACLA-MPCCD-run266702-0-subset-known_orientations.expt"
    ).detector
    assert len(detector.panels) == 8
    distances = [panel.distance for panel in detector.panels]
    assert np.ptp(distances) < 1.0
    centers = np.array([lab_positions(panel, 256.0, 512.0) for panel in detector.panels])
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
    # Modules are 25.6 × 51.2 mm.
    assert apart[apart > 0].min() > 25


def test_old_limits_leave_zero_in(unstill_data: Path) -> None:
    panel = one(unstill_data, "indexing_test_data_phi_scan_old.expt").detector.panels[0]
    assert panel.trusted_range == (0.0, 996974.0)
    assert (panel.thickness, panel.parallax) == (0.32, True)
    assert len(panel.masked) == 2
