"""Images on disk: read back exactly, by other programs too; begun runs go on."""

from __future__ import annotations

import json
from dataclasses import replace

import fabio
import h5py
import numpy as np
import pytest
import tifffile
from simulated import CRYSTAL, make_frames

from unstill.errors import InputError, OutputError
from unstill.experiment import INVALID, OVERLOADED, Detector, FrameHeader
from unstill.io import read_map
from unstill.io.experiment_files import read_experiments
from unstill.io.frames.open_frames import open_frames
from unstill.io.image_writers import EigerWriter, raw_image, write_cbf, write_tiff
from unstill.simulation.detectors import make_detector
from unstill.simulation.run import write_simulation, write_still_simulation
from unstill.simulation.stills import make_stills, simulate_stills
from unstill.simulation.sweeps import background_frames
from unstill.simulation.write_images import write_sweep

HEADER = FrameHeader(
    phi_start=1.5,
    phi_width=0.25,
    exposure_time=0.1,
    wavelength=0.98,
    distance=123.4,
    beam_center=(10.25, 20.5),
    pixel_size=(0.172, 0.172),
    transmission=0.5,
    count_cutoff=70000.0,
    thickness=0.45,
    material="Si",
    detector="simulated",
)


def _image() -> np.ndarray:
    rng = np.random.default_rng(6)
    image = rng.poisson(3, (40, 30)).astype(np.int32)
    image[3, 4], image[5, 6], image[7, 8], image[9, 10] = INVALID, OVERLOADED, 70000, 40000
    return image


def test_cbf_is_read_by_fabio_and_by_us(tmp_path):
    path = tmp_path / "x_00001.cbf"
    write_cbf(path, _image(), HEADER)
    other = fabio.open(str(path))
    marked = np.where(_image() == OVERLOADED, 70001, _image())
    np.testing.assert_array_equal(other.data, marked)
    assert "Wavelength 0.980000 A" in other.header["_array_data.header_contents"]
    source = open_frames(path)
    np.testing.assert_array_equal(source.read(0)[0], _image())
    _same_header(source.header(0))


def test_tiff_is_read_by_tifffile_and_by_us(tmp_path):
    path = tmp_path / "x_00001.tif"
    write_tiff(path, _image(), HEADER)
    marked = np.where(_image() == OVERLOADED, 70001, _image())
    np.testing.assert_array_equal(tifffile.imread(path), marked)
    source = open_frames(path)
    np.testing.assert_array_equal(source.read(0)[0], _image())
    _same_header(source.header(0))


@pytest.mark.parametrize(("cutoff", "dtype"), [(70000.0, np.uint32), (65533.0, np.uint16)])
def test_eiger_files_are_read_by_h5py_and_by_us_and_grow(tmp_path, cutoff, dtype):
    image = np.where(_image() > cutoff, OVERLOADED, _image())
    bad = image == INVALID
    header = replace(HEADER, count_cutoff=cutoff)
    writer = EigerWriter(tmp_path, "x", 5, (40, 30), header, frames_per_file=2, bad=bad)
    writer.write_master()
    frames = [np.where(image >= 0, np.minimum(image + i, int(cutoff)), image) for i in range(5)]
    source = open_frames(writer.master, growing=True)
    assert source.n_frames == 0
    seen = []
    for frame in frames:
        writer.add(frame)
        seen.append(source.refresh())
    assert seen == [0, 2, 2, 4, 5]
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(source.read(i)[0], frame)
    _same_header(source.header(0), cutoff)
    assert source.header(4).phi_start == pytest.approx(2.5)
    with h5py.File(writer.master) as file:
        stored = file["/entry/data/data_000001"]
        assert stored.dtype == dtype
        top = int(np.iinfo(dtype).max)
        assert (stored[0][3, 4], stored[0][5, 6]) == (top, top - 1)
        counted = frames[1] >= 0
        np.testing.assert_array_equal(stored[1][counted], frames[1][counted])
        detector = file["/entry/instrument/detector"]
        assert detector["pixel_mask"][()].sum() == bad.sum()
        assert detector["detector_distance"][()] == pytest.approx(0.1234)
    with pytest.raises(InputError, match="does not belong"):
        writer.add(frames[0])


def _same_header(found: FrameHeader, cutoff: float | None = None) -> None:
    for name in ("phi_start", "phi_width", "exposure_time", "wavelength", "distance", "thickness"):
        assert getattr(found, name) == pytest.approx(getattr(HEADER, name)), name
    assert found.beam_center == pytest.approx((10.25, 20.5))
    assert found.pixel_size == pytest.approx((0.172, 0.172))
    assert (found.material, found.transmission) == ("Si", 0.5)
    if cutoff is not None:
        assert found.count_cutoff == cutoff


def test_a_count_above_the_cutoff_is_refused(tmp_path):
    with pytest.raises(InputError, match="above the cut-off"):
        write_cbf(tmp_path / "x.cbf", np.full((4, 4), 70001, dtype=np.int32), HEADER)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="does not fit"):
        raw_image([np.zeros((4, 4), np.int32)], make_detector("tiny"))


@pytest.mark.parametrize("image_format", ["cbf", "eiger", "tiff"])
@pytest.mark.parametrize("split", [False, True])
def test_sweeps_come_back_as_they_were(tmp_path, image_format, split):
    frames = make_frames(detector="modular", bragg=True)
    if split:
        detector = make_detector("modular", split=True)
        frames = replace(frames, experiment=frames.experiment.replace(detector=detector))
    images = write_sweep(
        frames, tmp_path / "images", image_format=image_format, workers=2, frames_per_file=3
    )
    source = open_frames(images, detector=frames.experiment.detector)
    assert source.n_frames == 4
    for i in range(4):
        for found, wanted in zip(source.read(i), frames.read(i), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert source.header(3).phi_start == pytest.approx(0.75)


@pytest.mark.parametrize("image_format", ["cbf", "eiger"])
def test_an_interrupted_run_leaves_whole_files_and_goes_on(tmp_path, image_format, monkeypatch):
    frames = make_frames()
    options = {"image_format": image_format, "frames_per_file": 2}
    read = type(frames).read

    def stops(self, index):
        if index == 3:
            raise KeyboardInterrupt
        return read(self, index)

    monkeypatch.setattr(type(frames), "read", stops)
    with pytest.raises(KeyboardInterrupt):
        write_sweep(frames, tmp_path / "images", **options)
    there = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert not [name for name in there if "part" in name]
    assert len(there) == {"cbf": 3, "eiger": 2}[image_format]
    old = {path: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()}
    calls = []
    monkeypatch.setattr(type(frames), "read", lambda self, i: calls.append(i) or read(self, i))
    images = write_sweep(frames, tmp_path / "images", **options)
    assert calls == {"cbf": [3], "eiger": [2, 3]}[image_format]
    assert all(path.stat().st_mtime_ns == time for path, time in old.items())
    np.testing.assert_array_equal(open_frames(images).read(3)[0], read(frames, 3)[0])


def test_a_simulation_on_disk_holds_geometry_background_and_truth(tmp_path):
    frames = make_frames(effects=True, background=1.0, drift=0.1, bragg=True)
    written = write_simulation(tmp_path, frames, background=background_frames(frames))
    assert set(written.outputs) == {"truth", "truth_map", "expt", "background_expt"}
    (experiment,) = read_experiments(written.outputs["expt"])
    for i in (0.5, 3.5):
        np.testing.assert_allclose(
            experiment.hkl_matrix(i), frames.experiment.hkl_matrix(i), rtol=1e-9
        )
    source = open_frames(experiment.images, detector=experiment.detector)
    np.testing.assert_array_equal(source.read(2)[0], frames.read(2)[0])
    (alone,) = read_experiments(written.outputs["background_expt"])
    assert alone.lattice is None
    assert open_frames(alone.images).n_frames == 1
    truth = json.loads(written.outputs["truth"].read_text())["sweep"]
    assert (truth["seed"], truth["flux"]) == (1, frames.flux)
    place = truth["curves"]["places"]
    assert len(truth["curves"]["b"]) == 4
    assert np.shape(truth["curves"]["a"]) == (3, len(place["y"]), len(place["x"]))
    stored = read_map(written.outputs["truth_map"])
    hkl = np.array([[1.0, 0.5, 2.0], [3.5, 2.0, -1.0]])
    at = tuple((stored.grid.index_of(hkl) - np.array(stored.grid.start)).T)
    np.testing.assert_allclose(stored.intensity[at], frames.truth.at(hkl), rtol=1e-6)
    again = write_simulation(tmp_path, frames, background=background_frames(frames))
    assert again.went_on
    with pytest.raises(OutputError, match="another simulation"):
        write_simulation(tmp_path, replace(frames, seed=9))


@pytest.mark.parametrize("image_format", ["tiff", "eiger"])
def test_stills_on_disk_are_one_experiment_each(tmp_path, image_format):
    pairs = make_stills(CRYSTAL, 3, detector="tiny", orientation_error=0.5)
    stills = simulate_stills(pairs, make_frames(bragg=True))
    written = write_still_simulation(
        tmp_path, stills, image_format=image_format, truth_divisions=None
    )
    experiments = read_experiments(written.outputs["expt"])
    assert len(experiments) == 3
    for still, experiment in zip(stills, experiments, strict=True):
        assert experiment.is_still
        np.testing.assert_allclose(
            experiment.lattice.a_matrix, still.written.lattice.a_matrix, atol=1e-9
        )
        source = open_frames(experiment.images, detector=experiment.detector)
        np.testing.assert_array_equal(source.read(0)[0], still.frames.read(0)[0])
    truth = json.loads(written.outputs["truth"].read_text())
    np.testing.assert_allclose(truth["a_matrix"][1], stills[1].frames.experiment.lattice.a_matrix)


def test_overloads_survive_the_disk(tmp_path):
    frames = make_frames(counts=4.0)
    panel = replace(frames.experiment.detector.panels[0], trusted_range=(0.0, 6.0))
    frames = replace(frames, experiment=frames.experiment.replace(detector=Detector((panel,))))
    values = frames.read(0)[0]
    assert np.any(values == OVERLOADED)
    for image_format in ("cbf", "eiger", "tiff"):
        images = write_sweep(frames, tmp_path / image_format, image_format=image_format)
        np.testing.assert_array_equal(open_frames(images).read(0)[0], values)
