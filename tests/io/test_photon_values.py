"""Gain and pedestal: of headers, of files that are named, of the geometry itself."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from test_experiment_dials_expt import small_sweep
from test_experiment_scan_headers import frames
from test_frame_smv_tiff import write_smv

from unstill.errors import FormatError, InputError, UnstillError, UnstillWarning
from unstill.experiment import Detector, Experiment, FrameHeader
from unstill.io.frames.smv import read_smv_header
from unstill.io.photon_values import with_photon_values
from unstill.io.pixel_arrays import read_pixel_array
from unstill.io.pixel_masks import read_pixel_mask
from unstill.io.scan_headers import reconcile_scan


def sweep(**panel: float) -> Experiment:
    one = small_sweep(4, drifts=False)
    neutral = {"gain": 1.0, "pedestal": 0.0} | panel
    panels = tuple(replace(each, **neutral) for each in one.detector.panels)  # type: ignore[arg-type]
    assert one.scan is not None
    scan = replace(one.scan, exposure_times=np.full(4, 0.1))
    images = replace(one.images, gain="", pedestal="")
    return one.replace(detector=Detector(panels), scan=scan, images=images)


def naming(folder: Path, **files: str) -> Experiment:
    one = sweep()
    return one.replace(images=replace(one.images, folder=str(folder), **files))


def values(experiment: Experiment) -> list[tuple[float, float]]:
    return [(panel.gain, panel.pedestal) for panel in experiment.detector.panels]


def test_the_header_of_smv_gives_pedestal_and_gain(tmp_path: Path) -> None:
    pixels = np.full((4, 5), 45, "<u2")
    path = write_smv(tmp_path / "x.img", pixels, IMAGE_PEDESTAL=40, GAIN=1.8)
    header = read_smv_header(path)
    assert (header.gain, header.pedestal) == (1.8, 40.0)
    silent = read_smv_header(write_smv(tmp_path / "y.img", pixels))
    assert (silent.gain, silent.pedestal) == (None, None)


def test_a_header_with_a_pedestal_is_taken_and_both_values_are_told() -> None:
    with pytest.warns(UnstillWarning) as caught:
        found = reconcile_scan(sweep(), frames(pedestal=40.0, gain=1.8))
    assert values(found) == [(1.8, 40.0)] * 2
    told = [str(one.message) for one in caught]
    assert any("pedestal of 40 and the experiment 0" in text for text in told)
    assert any("gain of 1.8 and the experiment 1" in text for text in told)


def test_a_geometry_that_says_something_keeps_it() -> None:
    said = sweep(gain=2.0, pedestal=10.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_photon_values(said, FrameHeader(gain=1.8, pedestal=40.0)) is said
        plain = sweep()
        assert with_photon_values(plain, FrameHeader()) is plain
        assert with_photon_values(plain, FrameHeader(gain=1.0, pedestal=0.0)) is plain


@pytest.mark.parametrize("header", [FrameHeader(gain=-1.0), FrameHeader(pedestal=float("nan"))])
def test_impossible_values_of_a_header_are_refused(header: FrameHeader) -> None:
    with pytest.raises(InputError, match="is impossible"):
        with_photon_values(sweep(), header)


def test_a_file_with_one_value_a_panel_is_taken(tmp_path: Path) -> None:
    shapes = [panel.shape for panel in sweep().detector.panels]
    arrays = [np.full(shape, 2.5 + i) for i, shape in enumerate(shapes)]
    np.savez(tmp_path / "gain.npz", *arrays)
    found = with_photon_values(naming(tmp_path, gain="gain.npz"), FrameHeader(gain=9.0))
    assert values(found) == [(2.5, 0.0), (3.5, 0.0)]


def test_files_that_cannot_be_applied_are_named(tmp_path: Path) -> None:
    shape = sweep().detector.panels[0].shape
    np.savez(tmp_path / "p.npz", np.arange(np.prod(shape)).reshape(shape), np.zeros(shape))
    (tmp_path / "gain.pickle").write_bytes(b"\x80\x02cscitbx\n.")
    (tmp_path / "text.tif").write_bytes(b"no image at all")
    np.savez(tmp_path / "small.npz", np.zeros((2, 2)), np.zeros((2, 2)))
    for files, kind, message in (
        ({"pedestal": "gone.npy"}, InputError, r"the pedestal file is missing.*gone\.npy"),
        ({"pedestal": "p.npz"}, InputError, r"differs from pixel to pixel.*p\.npz"),
        ({"gain": "gain.pickle"}, FormatError, r"a pickled gain is not read.*gain\.pickle"),
        ({"gain": "text.tif"}, UnstillError, r"text\.tif"),
        ({"gain": "small.npz"}, InputError, r"the gain does not fit.*small\.npz"),
    ):
        with pytest.raises(kind, match=message):
            with_photon_values(naming(tmp_path, **files), FrameHeader())


def test_arrays_of_every_kind_are_read_and_cut_into_panels(tmp_path: Path) -> None:
    detector = Detector((replace(sweep().detector.panels[0], offset=(0, 0)),))
    wanted = np.random.default_rng(1).integers(0, 9, detector.panels[0].shape).astype(np.int32)
    np.save(tmp_path / "a.npy", wanted)
    np.savez(tmp_path / "a.npz", wanted)
    tifffile.imwrite(tmp_path / "a.tif", wanted)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data"] = wanted[None]
    for name in ("a.npy", "a.npz", "a.tif", "a.h5"):
        (found,) = read_pixel_array(tmp_path / name, detector, "mask")
        np.testing.assert_array_equal(found, wanted)
        if name.endswith(".h5"):
            continue
        (bad,) = read_pixel_mask(tmp_path / name, detector)
        np.testing.assert_array_equal(bad, wanted != 0)
    with pytest.raises(FormatError, match=r"no dataset mask.*a\.h5"):
        read_pixel_array(tmp_path / "a.h5", detector, "mask", datasets=("mask",))
