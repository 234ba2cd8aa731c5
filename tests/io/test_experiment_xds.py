"""XDS geometry: written, read, and what XDS means by its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_experiment_dials_expt import small_sweep

from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.experiment import Detector, Experiment
from unstill.experiment.pixels import lab_positions, scattering_vectors
from unstill.experiment.predict import predict_spots
from unstill.io.experiment_files import read_experiments
from unstill.io.xds_xparm import write_xparm

XDS_INP = """
 JOB= ALL ! a comment with ORGX= 7
 DETECTOR= PILATUS NX= 100 NY= 80 QX= 0.172 QY= 0.15
 ORGX= 40.5 ORGY= 33 DETECTOR_DISTANCE= 150
 OVERLOAD= 1000 MINIMUM_VALID_PIXEL_VALUE= -1 GAIN= 1.5
 SENSOR_THICKNESS= 0.32
 UNTRUSTED_RECTANGLE= 10 18 0 81
 UNTRUSTED_RECTANGLE= 0 101 20 22
 UNTRUSTED_ELLIPSE= 30 40 50 54
 NAME_TEMPLATE_OF_DATA_FRAMES= ../img/a_??????.h5 DIRECT
 DATA_RANGE= 11 30 STARTING_FRAME= 1 STARTING_ANGLE= 5 OSCILLATION_RANGE= 0.5
 X-RAY_WAVELENGTH= 0.9 INCIDENT_BEAM_DIRECTION= 0.01 0 1 ROTATION_AXIS= -1 0 0.01
 FRACTION_OF_POLARIZATION= 0.98 POLARIZATION_PLANE_NORMAL= 0 1 0
"""

AXES = """
 SPACE_GROUP_NUMBER= 19
 UNIT_CELL_A-AXIS= 30.0 0 0
 UNIT_CELL_B-AXIS= 0 56.0 0
 UNIT_CELL_C-AXIS= 0 0 73.0
"""


def written(folder: Path, text: str = XDS_INP, name: str = "XDS.INP") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_xds_inp_alone_is_the_geometry_before_refinement(tmp_path: Path) -> None:
    (found,) = read_experiments(written(tmp_path))
    assert found.lattice is None
    scan, panel = found.scan, found.detector.panels[0]
    assert scan is not None
    assert (scan.n_frames, scan.first_image, scan.free_origin) == (20, 11, True)
    # Image 11 begins ten images after the starting frame.
    assert scan.phi_start == pytest.approx(10.0)
    assert found.images.template == "../img/a_master.h5"
    assert panel.gain == 1.5
    assert panel.trusted_range == (0.0, 1000.0)
    assert panel.parallax
    assert found.beam.polarization_fraction == 0.98


def test_the_pixel_of_the_origin_is_where_the_normal_meets_the_panel(tmp_path: Path) -> None:
    """XDS pixel (x, y) is ours (x − ½, y − ½)."""
    (found,) = read_experiments(written(tmp_path))
    panel = replace(found.detector.panels[0], parallax=False)
    np.testing.assert_allclose(lab_positions(panel, 40.0, 32.5), [0, 0, 150], atol=1e-12)
    np.testing.assert_allclose(
        lab_positions(panel, 0.5, 0.5), [-39.5 * 0.172, -32 * 0.15, 150], atol=1e-12
    )


def test_untrusted_areas_leave_their_limits_out(tmp_path: Path) -> None:
    (found,) = read_experiments(written(tmp_path))
    panel = found.detector.panels[0]
    mask = np.zeros(panel.shape, dtype=bool)
    for f0, s0, f1, s1 in panel.masked:
        mask[s0:s1, f0:f1] = True
    y, x = np.mgrid[1:81, 1:101]
    expected = (x > 10) & (x < 18)
    expected |= (y > 20) & (y < 22)
    expected |= ((x - 35) / 5) ** 2 + ((y - 52) / 2) ** 2 <= 1
    np.testing.assert_array_equal(mask, expected)


def test_xds_inp_with_axes_has_a_crystal(tmp_path: Path) -> None:
    (found,) = read_experiments(written(tmp_path, XDS_INP + AXES))
    assert found.crystal.space_group == "P 21 21 21"
    assert found.crystal.unit_cell[:3] == pytest.approx((30, 56, 73))
    with pytest.raises(InputError, match="does not have the symmetry"):
        read_experiments(tmp_path / "XDS.INP", space_group="P 4")


def one_panel() -> Experiment:
    one = small_sweep(drifts=False)
    panel = replace(one.detector.panels[0], parallax=False)
    return one.replace(detector=Detector((panel,)))


def test_xparm_predicts_what_it_was_written_from(tmp_path: Path) -> None:
    """Fixed and setting rotations go into the axes: spots stay where they were."""
    one = one_panel()
    assert one.scan is not None
    scan = replace(one.scan, n_frames=600, exposure_times=np.ones(600))
    experiment = one.replace(scan=scan)
    path = tmp_path / "XPARM.XDS"
    write_xparm(path, experiment)
    with pytest.warns(UnstillWarning, match=r"no XDS.INP"):
        (found,) = read_experiments(path)
    assert found.scan is not None
    assert experiment.scan is not None
    assert found.scan.open_ended
    found = found.replace(scan=replace(experiment.scan, open_ended=False))
    hkl = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), -1).reshape(-1, 3)
    a, b = predict_spots(experiment, hkl), predict_spots(found, hkl)
    assert len(a) == len(b) > 20
    np.testing.assert_array_equal(a.index, b.index)
    np.testing.assert_allclose(a.fast, b.fast, atol=1e-3)
    np.testing.assert_allclose(a.slow, b.slow, atol=1e-3)
    np.testing.assert_allclose(a.phi, b.phi, atol=1e-4)


def test_xparm_takes_the_rest_from_xds_inp(tmp_path: Path) -> None:
    write_xparm(tmp_path / "run1_XPARM.XDS", one_panel())
    written(tmp_path, name="run1_XDS.INP")
    (found,) = read_experiments(tmp_path / "run1_XPARM.XDS")
    assert found.scan is not None
    assert (found.scan.n_frames, found.scan.first_image) == (20, 11)
    # XPARM says 12.3 degrees at image 7, and steps of 0.1.
    assert found.scan.phi_start == pytest.approx(12.7)
    assert found.detector.panels[0].thickness == 0.32
    # Asked for by its input, the refined geometry is read.
    (same,) = read_experiments(tmp_path / "run1_XDS.INP")
    np.testing.assert_array_equal(same.setting(0.5), found.setting(0.5))


def test_what_xparm_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "XPARM.XDS"
    with pytest.raises(InputError, match="several segments"):
        write_xparm(path, small_sweep())
    one = one_panel()
    with pytest.raises(InputError, match="that turns"):
        write_xparm(path, Experiment(one.beam, one.detector, lattice=one.lattice))
    drifting = one.replace(lattice=small_sweep().lattice)
    with pytest.warns(UnstillWarning, match="drifts"):
        write_xparm(path, drifting)
    assert path.is_file()


@pytest.mark.parametrize(
    ("line", "change", "match"),
    [
        (None, None, "cut short"),
        (2, "0.97 x y z", r"line 3 .* 4 numbers"),
        (4, "1 0", r"line 5 .* 3 numbers"),
        (7, "2 64 48 0.1 0.1", "several segments"),
    ],
)
def test_damaged_xparm_is_refused(
    tmp_path: Path, line: int | None, change: str | None, match: str
) -> None:
    path = tmp_path / "XPARM.XDS"
    write_xparm(path, one_panel())
    lines = path.read_text().splitlines()
    if line is None:
        lines = lines[:9]
    else:
        lines[line] = str(change)
    path.write_text("\n".join(lines))
    with pytest.raises((FormatError, InputError), match=match):
        read_experiments(path)


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("NX= 100", "", "NX= is missing"),
        ("QY= 0.15", "QY= wide", "QY needs 1 number"),
        ("DATA_RANGE= 11 30", "DATA_RANGE= 30 11", "holds no image"),
        ("DETECTOR_DISTANCE= 150", "DETECTOR_DISTANCE= nan", "DISTANCE needs 1 number"),
    ],
)
def test_damaged_xds_inp_is_refused(tmp_path: Path, before: str, after: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        read_experiments(written(tmp_path, XDS_INP.replace(before, after)))


def listing(batches: list[str]) -> str:
    head = (
        XDS_INP.replace("!", " ") + " SPACE_GROUP_NUMBER= 19\n NUMBER OF DETECTOR SEGMENTS   1\n"
    )
    return "\n ***** INTEGRATE ***** (VERSION Jan 31, 2020)\n" + head + "".join(batches)


def batch(first: int, last: int, turn: float, *, beam: float = 0.01) -> str:
    axes = np.diag([30.0, 56.0, 73.0]) @ Rotation.from_euler("z", turn, degrees=True).as_matrix().T
    told = "\n".join(
        f" COORDINATES OF UNIT CELL {name}-AXIS" + "".join(f"{v:10.3f}" for v in axis)
        for name, axis in zip("ABC", axes, strict=True)
    )
    return f"""
 PROCESSING OF IMAGES  {first} ...  {last}
{told}
 CRYSTAL MOSAICITY (DEGREES)     0.100
 LAB COORDINATES OF ROTATION AXIS -1.000000  0.000000  0.010000
 DIRECT BEAM COORDINATES (REC. ANGSTROEM)   {beam:.6f}  0.000000  1.111056
 DETECTOR ORIGIN (PIXELS) AT                       40.50     33.00
 CRYSTAL TO DETECTOR DISTANCE (mm)       150.00
 LAB COORDINATES OF DETECTOR X-AXIS  1.000000  0.000000  0.000000
 LAB COORDINATES OF DETECTOR Y-AXIS  0.000000  1.000000  0.000000
"""


def test_batches_become_a_lattice_that_drifts(tmp_path: Path) -> None:
    written(tmp_path)
    path = written(tmp_path, listing([batch(11, 20, 0.0), batch(21, 30, 0.2)]), "INTEGRATE.LP")
    (found,) = read_experiments(path)
    lattice = found.indexed_lattice
    assert lattice.mosaicity == 0.1
    # The middles of the batches are frames 5 and 15.
    for at, turn in ((5.0, 0.0), (10.0, 0.1), (15.0, 0.2), (20.0, 0.2), (0.0, 0.0)):
        axes = np.linalg.inv(lattice.a_at(at))
        angle = np.degrees(np.arctan2(axes[0, 1], axes[0, 0]))
        assert angle == pytest.approx(turn, abs=2e-3)
    assert found.detector.panels[0].masked


def test_a_beam_that_moves_is_made_up_for_by_the_orientation(tmp_path: Path) -> None:
    """Beam and detector swing together about the crystal, as XDS refines them.

    hkl of pixels with the mean geometry, against those with that of the batch.
    """
    written(tmp_path)
    # 0.79 pixels at 150 mm.
    swing = 0.79 * 0.172 / 150 * 1.111056
    moving = [
        batch(11, 20, 0.0, beam=0.01 - swing).replace("40.50", "41.29"),
        batch(21, 30, 0.0, beam=0.01 + swing).replace("40.50", "39.71"),
    ]
    (own,) = read_experiments(written(tmp_path, listing(moving[:1]), "INTEGRATE.LP"))
    (mean,) = read_experiments(written(tmp_path, listing(moving), "INTEGRATE.LP"))
    fast, slow = np.meshgrid(np.linspace(0, 100, 5), np.linspace(0, 80, 5))
    hkl = [
        scattering_vectors(one.beam, one.detector.panels[0], fast, slow).reshape(-1, 3) @ matrix.T
        for one, matrix in (
            (own, own.hkl_matrix(5.0)),
            (mean, mean.hkl_matrix(5.0)),
            (mean, own.hkl_matrix(5.0)),
        )
    ]
    right, made_up, left_alone = hkl
    rms = [float(np.sqrt(np.mean((found - right) ** 2))) for found in (made_up, left_alone)]
    assert rms[0] < 0.3 * rms[1]


def test_batches_that_were_not_refined_are_told_of(tmp_path: Path) -> None:
    written(tmp_path)
    broken = batch(21, 30, 0.2).replace("DETECTOR ORIGIN", "NO ORIGIN")
    path = written(tmp_path, listing([batch(11, 20, 0.0), broken]), "INTEGRATE.LP")
    with pytest.warns(UnstillWarning, match="1 of 2 batches"):
        read_experiments(path)
    path.write_text(listing([broken]))
    with pytest.raises(FormatError, match="no refined batch"):
        read_experiments(path)
