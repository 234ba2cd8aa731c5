"""HDF5 images: Eiger masters, NXmx, virtual datasets, growing and missing files."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from fabio.eigerimage import EigerImage

from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.experiment import INVALID, OVERLOADED, Detector, Panel
from unstill.io.frames.nexus_frames import open_nexus

SHAPE = (24, 36)
LZ4 = dict(hdf5plugin.Bitshuffle(nelems=0, cname="lz4"))


def frames(n: int, dtype: str = "u2") -> np.ndarray:
    """Return counts with a gap, a hot pixel and one that differs from frame to frame."""
    values = np.random.default_rng(3).poisson(4.0, (n, *SHAPE)).astype(dtype)
    values[:, 1, 2] = np.iinfo(dtype).max
    values[:, 3, 4] = np.iinfo(dtype).max - 1
    values[:, 0, 0] = np.arange(n)
    return values


def as_read(values: np.ndarray) -> np.ndarray:
    counts = values.astype(np.int64)
    counts[:, 1, 2], counts[:, 3, 4] = INVALID, OVERLOADED
    return counts


def write_data(path: Path, values: np.ndarray, name: str = "entry/data/data", **how: Any) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        options = {"chunks": (1, *values.shape[1:]), **LZ4, **how}
        file.create_dataset(name, data=values, **options)


def write_master(path: Path, n_files: int, n_frames: int) -> None:
    """Write what an Eiger detector writes beside its data files."""
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        data = entry.create_group("data")
        for i in range(1, n_files + 1):
            name = f"{path.stem.removesuffix('_master')}_data_{i:06d}.h5"
            data[f"data_{i:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
        detector = entry.create_group("instrument/detector")
        detector.attrs["NX_class"] = "NXdetector"
        detector["description"] = "Dectris Eiger 16M"
        detector["count_time"], detector["frame_time"] = 0.0098, 0.01
        detector["beam_center_x"], detector["beam_center_y"] = 17.5, 12.25
        detector["sensor_material"], detector["sensor_thickness"] = "Si", 0.00045
        for name, value in {"x_pixel_size": 75e-6, "detector_distance": 0.2}.items():
            detector[name] = value
            detector[name].attrs["units"] = "m"
        detector["y_pixel_size"] = 75e-6
        specific = detector.create_group("detectorSpecific")
        specific["nimages"], specific["ntrigger"] = n_frames, 1
        specific["y_pixels_in_detector"], specific["x_pixels_in_detector"] = SHAPE
        entry["instrument/beam/incident_wavelength"] = 0.97
        entry["sample/goniometer/omega"] = 30.0 + 0.2 * np.arange(n_frames)
        entry["sample/goniometer/omega_range_average"] = 0.2
        entry["sample/goniometer/chi"] = np.zeros(n_frames)


@pytest.fixture
def eiger(tmp_path: Path) -> Path:
    """Return a master of six frames in two data files."""
    values = frames(6)
    write_data(tmp_path / "x_data_000001.h5", values[:4])
    write_data(tmp_path / "x_data_000002.h5", values[4:])
    master = tmp_path / "x_master.h5"
    write_master(master, 2, 6)
    return master


def read_all(path: Path) -> np.ndarray:
    source = open_nexus(path)
    return np.stack([source.read(i)[0] for i in range(source.n_frames)])


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4"])
@pytest.mark.parametrize(
    "how", [LZ4, {"chunks": (2, 8, 12)}, {"chunks": None, "compression": None}]
)
def test_every_type_and_packing_is_read(tmp_path: Path, dtype: str, how: dict[str, Any]) -> None:
    values = frames(3, dtype)
    if dtype == "i4":
        values[:, 1, 2], values[:, 3, 4] = -1, 7
    path = tmp_path / "x.h5"
    plain = how.get("chunks", 0) is None
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=values, **({} if plain else how))
    expected = as_read(values)
    if dtype == "i4":
        expected[:, 3, 4] = 7
    assert np.array_equal(read_all(path), expected)


def test_an_eiger_master_gives_all_frames_and_their_headers(eiger: Path) -> None:
    source = open_nexus(eiger)
    assert source.n_frames == 6
    assert source.shapes == (SHAPE,)
    assert np.array_equal(read_all(eiger), as_read(frames(6)))
    header = source.header(5)
    assert header.phi_start == pytest.approx(31.0)
    assert header.phi_width == 0.2
    assert (header.exposure_time, header.wavelength) == (0.0098, 0.97)
    assert (header.distance, header.pixel_size) == (200.0, pytest.approx((0.075, 0.075)))
    assert header.beam_center == (17.5, 12.25)
    assert header.image_size == (36, 24)
    assert (header.thickness, header.material) == (pytest.approx(0.45), "Si")
    assert header.other["frame_time"] == 0.01
    assert [Path(name).name for name in source.files()] == [
        "x_master.h5",
        "x_data_000001.h5",
        "x_data_000002.h5",
    ]


def test_fabio_reads_the_same_data_file(eiger: Path) -> None:
    path = eiger.with_name("x_data_000001.h5")
    with EigerImage() as image:
        image.read(str(path))
        expected = np.stack([image.get_frame(i).data for i in range(image.nframes)])
    assert np.array_equal(read_all(path), as_read(expected))


def test_a_source_can_be_pickled_and_read_from_several_threads(eiger: Path) -> None:
    source = pickle.loads(pickle.dumps(open_nexus(eiger)))
    expected = as_read(frames(6))
    order = np.random.default_rng(0).integers(0, 6, 60).tolist()
    with ThreadPoolExecutor(4) as pool:
        for index, (read,) in zip(order, pool.map(source.read, order), strict=True):
            assert np.array_equal(read, expected[index])


def test_masks_and_saturation_are_heeded(eiger: Path) -> None:
    mask = np.zeros(SHAPE, np.uint32)
    mask[10, 11], mask[12, 13] = 1, 1 << 8
    with h5py.File(eiger, "r+") as file:
        detector = file["entry/instrument/detector"]
        detector["detectorSpecific/pixel_mask"] = mask
        detector["saturation_value"] = 9
    expected = as_read(frames(6))
    expected[expected > 9] = OVERLOADED
    expected[:, mask > 0] = INVALID
    assert np.array_equal(read_all(eiger), expected)


def test_masks_that_do_not_fit_or_are_missing_are_named(eiger: Path) -> None:
    with h5py.File(eiger, "r+") as file:
        file["entry/instrument/detector/pixel_mask"] = np.zeros((3, 3))
    with pytest.raises(InputError, match=r"mask of shape \(3, 3\)"):
        open_nexus(eiger)
    with h5py.File(eiger, "r+") as file:
        del file["entry/instrument/detector/pixel_mask"]
        file["entry/instrument/detector/pixel_mask"] = h5py.ExternalLink("mask.h5", "/mask")
    with pytest.raises(InputError, match=r"mask\.h5 is missing"):
        open_nexus(eiger)


def test_a_missing_data_file_is_named_and_found_later(eiger: Path) -> None:
    second = eiger.with_name("x_data_000002.h5")
    hidden = second.with_name("hidden")
    second.rename(hidden)
    with pytest.warns(UnstillWarning, match=r"6 frames and 4 are there.*x_data_000002\.h5"):
        source = open_nexus(eiger)
    assert source.n_frames == 4
    with pytest.raises(InputError, match=r"frame 5 .*x_data_000002\.h5 is missing"):
        source.read(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        following = open_nexus(eiger, growing=True)
    hidden.rename(second)
    assert following.n_frames == 4
    assert following.refresh() == 6
    assert np.array_equal(following.read(5)[0], as_read(frames(6))[5])
    with pytest.raises(InputError, match=r"frame 6 .*6 frames are there"):
        following.read(6)


def test_a_master_alone_is_refused_unless_it_is_followed(eiger: Path) -> None:
    for number in (1, 2):
        eiger.with_name(f"x_data_{number:06d}.h5").unlink()
    with pytest.raises(FormatError, match=r"cannot be read.*x_data_000001\.h5"):
        open_nexus(eiger)
    source = open_nexus(eiger, growing=True)
    assert (source.n_frames, source.shapes, source.refresh()) == (0, (SHAPE,), 0)


def test_a_first_data_file_that_is_missing_hides_the_second(eiger: Path) -> None:
    eiger.with_name("x_data_000001.h5").unlink()
    source = open_nexus(eiger, growing=True)
    assert source.n_frames == 0
    with pytest.raises(InputError, match=r"x_data_000001\.h5 is missing"):
        source.read(0)


WRITER = """
import sys, h5py, hdf5plugin, numpy as np
values = np.load(sys.argv[2])
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    shape = values.shape[1:]
    data = file.create_dataset(
        "entry/data/data", (0, *shape), "u2", maxshape=(None, *shape), chunks=(1, *shape),
        **hdf5plugin.Bitshuffle(nelems=0, cname="lz4"),
    )
    file.swmr_mode = True
    for start, stop in ((0, 2), (2, 5)):
        data.resize(stop, axis=0)
        data[start:stop] = values[start:stop]
        data.flush()
        print("written", flush=True)
        sys.stdin.readline()
"""


def test_a_file_that_another_process_writes_is_followed(tmp_path: Path) -> None:
    values = frames(5)
    path = tmp_path / "x.h5"
    np.save(tmp_path / "values.npy", values)
    command = [sys.executable, "-c", WRITER, str(path), str(tmp_path / "values.npy")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        source = open_nexus(path, growing=True)
        assert source.n_frames == 2
        assert np.array_equal(source.read(1)[0], as_read(values)[1])
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "written\n"
        assert source.n_frames == 2
        assert source.refresh() == 5
        assert np.array_equal(source.read(4)[0], as_read(values)[4])
        writer.communicate("\n")
    assert source.refresh() == 5
    assert np.array_equal(source.read(3)[0], as_read(values)[3])


def test_space_without_data_is_no_frame(tmp_path: Path) -> None:
    values = frames(8)
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "entry/data/data", values.shape, "u2", chunks=(1, *SHAPE), **LZ4
        )
        for i in (0, 1, 3, 4):
            data[i] = values[i]
    source = open_nexus(path, growing=True)
    assert source.n_frames == 5
    assert np.array_equal(source.read(4)[0], as_read(values)[4])
    # One that was lost in between is not an image of zeros.
    with pytest.warns(UnstillWarning, match="frame 2 .*never written"):
        assert np.all(source.read(2)[0] == INVALID)


def write_virtual(path: Path, maps: list[tuple[str, slice, slice, slice]], n_frames: int) -> None:
    layout = h5py.VirtualLayout((n_frames, *SHAPE), "u2")
    for name, where, rows, taken in maps:
        source = h5py.VirtualSource(name, "entry/data/data", (4, *SHAPE), "u2")
        layout[where, rows] = source[taken, rows]
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout, fillvalue=0)


def test_virtual_datasets_are_followed_to_their_sources(tmp_path: Path) -> None:
    values = frames(8)
    write_data(tmp_path / "a.h5", values[:4])
    write_data(tmp_path / "b.h5", values[4:])
    path = tmp_path / "x.nxs"
    every = slice(None)
    maps = [
        ("a.h5", slice(0, 4), every, every),
        ("b.h5", slice(4, 7), every, slice(1, 4)),
    ]
    write_virtual(path, maps, 7)
    expected = as_read(values)[[0, 1, 2, 3, 5, 6, 7]]
    assert np.array_equal(read_all(path), expected)
    (tmp_path / "b.h5").unlink()
    source = open_nexus(path, growing=True)
    assert source.n_frames == 4
    with pytest.raises(InputError, match=r"b\.h5 is missing"):
        source.read(4)


def test_mosaics_are_read_once_all_pieces_are_there(tmp_path: Path) -> None:
    values = frames(4)
    for name in ("a.h5", "b.h5"):
        write_data(tmp_path / name, values)
    path = tmp_path / "x.nxs"
    top, bottom, every = slice(0, 10), slice(10, 24), slice(None)
    write_virtual(path, [("a.h5", every, top, every), ("b.h5", every, bottom, every)], 4)
    assert np.array_equal(read_all(path), as_read(values))
    # Every second frame in another file.
    odd, even = slice(1, 8, 2), slice(0, 8, 2)
    write_virtual(path, [("a.h5", even, every, every), ("b.h5", odd, every, every)], 8)
    assert np.array_equal(read_all(path), np.repeat(as_read(values), 2, axis=0))
    (tmp_path / "b.h5").unlink()
    with pytest.raises(InputError, match=r"b\.h5 is missing"):
        open_nexus(path, growing=True).read(0)


def test_frames_that_are_picked_or_cropped_are_read_as_such(tmp_path: Path) -> None:
    values = frames(8)
    write_data(tmp_path / "a.h5", np.pad(values, ((0, 0), (2, 1), (0, 0))))
    source = h5py.VirtualSource("a.h5", "entry/data/data", (8, 27, 36), "u2")
    layout = h5py.VirtualLayout((4, *SHAPE), "u2")
    layout[:] = source[::2, 2:26]
    path = tmp_path / "x.nxs"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    assert np.array_equal(read_all(path), as_read(values)[::2])


def test_an_unlimited_virtual_dataset_grows_with_its_source(tmp_path: Path) -> None:
    values = frames(5)
    write_data(tmp_path / "a.h5", values[:2], maxshape=(None, *SHAPE))
    layout = h5py.VirtualLayout((2, *SHAPE), "u2", maxshape=(None, *SHAPE))
    source = h5py.VirtualSource(
        "a.h5", "entry/data/data", (2, *SHAPE), "u2", maxshape=(None, *SHAPE)
    )
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    path = tmp_path / "x.nxs"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    followed = open_nexus(path, growing=True)
    assert followed.n_frames == 2
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["entry/data/data"].resize(5, axis=0)
        file["entry/data/data"][2:] = values[2:]
    assert followed.refresh() == 5
    assert np.array_equal(followed.read(4)[0], as_read(values)[4])


def test_a_virtual_dataset_with_a_hole_is_refused(tmp_path: Path) -> None:
    write_data(tmp_path / "a.h5", frames(4))
    path = tmp_path / "x.nxs"
    every = slice(None)
    write_virtual(path, [("a.h5", slice(2, 6), every, every)], 6)
    with pytest.raises(FormatError, match=r"frames from nowhere.*frames 0 to 1"):
        open_nexus(path)


def test_the_axis_that_turns_is_found_along_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "x.nxs"
    write_data(path, frames(3))
    with h5py.File(path, "r+") as file:
        entry = file["entry"]
        entry["sample/depends_on"] = "/entry/sample/transformations/phi"
        axes = entry.create_group("sample/transformations")
        axes["phi"] = np.array([0.5])
        axes["omega"] = np.radians([1.0, 1.5, 2.0])
        axes["omega_end"] = np.radians([1.4, 1.9, 2.4])
        for name, below in {"phi": "omega", "omega": "."}.items():
            axes[name].attrs["depends_on"] = below
            axes[name].attrs["transformation_type"] = "rotation"
        axes["omega"].attrs["units"] = "rad"
    header = open_nexus(path).header(2)
    assert header.phi_start == pytest.approx(2.0)
    assert header.phi_width == pytest.approx(0.4)


def panel(width: int, height: int, offset: tuple[int, int] = (0, 0)) -> Panel:
    return Panel((0, 0, 100), (1, 0, 0), (0, 1, 0), (0.1, 0.1), (width, height), offset=offset)


def test_panels_are_cut_or_stacked(tmp_path: Path) -> None:
    values = frames(2)
    path = tmp_path / "x.h5"
    write_data(path, values)
    apart = Detector((panel(20, 10, (1, 2)), panel(10, 24, (25, 0))))
    source = open_nexus(path, apart)
    assert source.shapes == ((10, 20), (24, 10))
    first, second = source.read(1)
    expected = as_read(values)[1]
    assert np.array_equal(first, expected[2:12, 1:21])
    assert np.array_equal(second, expected[:, 25:35])
    assert first.flags.c_contiguous
    below = open_nexus(path, Detector((panel(36, 12), panel(36, 12)))).read(1)
    assert np.array_equal(below[1], expected[12:])
    stack = tmp_path / "stack.h5"
    write_data(stack, values.reshape(1, 2, *SHAPE))
    stacked = open_nexus(stack, Detector((panel(36, 24), panel(36, 24)))).read(0)
    assert np.array_equal(stacked[1], expected)


@pytest.mark.parametrize(
    "detector",
    [
        Detector((panel(24, 36),)),
        Detector((panel(20, 10), panel(20, 10, (10, 5)))),
        Detector((panel(20, 10), panel(20, 10, (20, 5)))),
    ],
    ids=["turned", "overlapping", "outside"],
)
def test_a_detector_that_does_not_fit_is_refused(eiger: Path, detector: Detector) -> None:
    with pytest.raises(InputError, match="images of 24 × 36, detector of"):
        open_nexus(eiger, detector)


def test_part_of_a_file_is_taken_by_image_numbers(eiger: Path) -> None:
    source = open_nexus(eiger, image_range=(3, 5))
    assert source.n_frames == 3
    assert np.array_equal(source.read(2)[0], as_read(frames(6))[4])
    assert source.header(0).phi_start == pytest.approx(30.4)
    with pytest.raises(InputError, match="no such frame"):
        source.read(3)


def test_damaged_and_foreign_files_are_named(eiger: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.h5"
    cut.write_bytes(eiger.read_bytes()[:1500])
    with pytest.raises(FormatError, match=r"cut\.h5 cannot be opened as HDF5.*truncated"):
        open_nexus(cut)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["entry/map/intensity"] = np.zeros(3)
    with pytest.raises(FormatError, match="holds no images"):
        open_nexus(other)


def test_a_data_file_that_is_cut_is_named(eiger: Path) -> None:
    data = eiger.with_name("x_data_000002.h5")
    data.write_bytes(data.read_bytes()[:900])
    with pytest.warns(UnstillWarning, match=r"4 are there.*x_data_000002\.h5.*truncated"):
        source = open_nexus(eiger)
    with pytest.raises(InputError, match=r"frame 5.*x_data_000002\.h5.*truncated"):
        source.read(5)


def test_images_of_several_detectors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.nxs"
    with h5py.File(path, "w") as file:
        for name in ("left", "right"):
            group = file.create_group(f"entry/instrument/{name}")
            group.attrs["NX_class"] = "NXdetector"
            group["data"] = frames(2)
    with pytest.raises(FormatError, match=r"several detectors.*left.*right"):
        open_nexus(path)
    with h5py.File(path, "r+") as file:
        del file["entry/instrument/right"]
    assert np.array_equal(read_all(path), as_read(frames(2)))
