"""Opening images by template, pattern, list and content; gaps and growing folders."""

from __future__ import annotations

import gzip
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.experiment import INVALID, Detector, ImageSet, Panel
from unstill.io.frames import open_frames, read_header
from unstill.io.frames.image_template import (
    find_template,
    is_template,
    number_files,
    sort_files,
)

SHAPE = (6, 8)


def write(path: Path, number: int) -> Path:
    """Write an image whose pixels are all its number."""
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(
        path,
        np.full(SHAPE, number, np.int32),
        description=f"# Start_angle {number / 10} deg.\n",
        metadata=None,
    )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the images 7 to 12 and some that are not meant."""
    for number in range(7, 13):
        write(tmp_path / f"run_{number:03d}.tif", number)
    write(tmp_path / "run_1_007.tif", 99)
    write(tmp_path / "other_008.tif", 99)
    return tmp_path


def numbers(source: object) -> list[int]:
    return [int(source.read(i)[0][0, 0]) for i in range(source.n_frames)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["run_###.tif", "run_%03d.tif"])
def test_templates_give_the_images_in_order(folder: Path, name: str) -> None:
    source = open_frames(folder / name)
    assert numbers(source) == list(range(7, 13))
    assert source.shapes == (SHAPE,)
    assert source.header(2).phi_start == 0.9
    assert find_template(str(folder / name)).first_number == 7
    assert len(source.files()) == 6


def test_the_range_of_a_scan_selects_by_number(folder: Path) -> None:
    assert numbers(open_frames(folder / "run_###.tif", image_range=(9, 11))) == [9, 10, 11]
    early = open_frames(folder / "run_###.tif", image_range=(5, 8))
    assert numbers(early) == list(early.image_numbers) == [7, 8]
    (folder / "run_008.tif").unlink()
    # With a gap in the middle, the beginning keeps its place too.
    with pytest.warns(UnstillWarning, match="number 5-6, 8"):
        early = open_frames(folder / "run_###.tif", image_range=(5, 9))
    assert numbers(early) == [INVALID, INVALID, 7, INVALID, 9]
    assert list(early.image_numbers) == [5, 6, 7, 8, 9]
    with pytest.raises(InputError, match=r"no image of the scan.*\(20, 30\)"):
        open_frames(folder / "run_###.tif", image_range=(20, 30))


def test_a_gap_is_named_and_is_a_frame_without_a_measurement(folder: Path) -> None:
    (folder / "run_009.tif").unlink()
    (folder / "run_011.tif").unlink()
    for images in (folder / "run_###.tif", str(folder / "run_0*.tif")):
        with pytest.warns(UnstillWarning, match="number 9, 11"):
            source = open_frames(images)
        assert numbers(source) == [7, 8, INVALID, 10, INVALID, 12]
        assert source.header(2).phi_start is None
        assert len(source.files()) == 4


def test_patterns_and_lists_are_put_in_the_order_of_numbers(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"x_{number}.tif", number) for number in (10, 2, 9, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers(open_frames(paths)) == [1, 2, 9, 10]
        # Most numbers from 1 to 10 are missing: an order and no run.
        assert numbers(open_frames(str(tmp_path / "x_*.tif"))) == [1, 2, 9, 10]
    stored = ImageSet(paths=tuple(path.name for path in paths), folder=str(tmp_path))
    assert numbers(open_frames(stored)) == [10, 2, 9, 1]


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=20))
def test_files_are_sorted_as_their_numbers(found: set[int]) -> None:
    paths = [Path(f"a2/x_{number}_v1.cbf") for number in sorted(found, key=str)]
    ordered = sort_files(paths)
    assert ordered == [Path(f"a2/x_{number}_v1.cbf") for number in sorted(found)]
    numbered = number_files(paths)
    assert list(numbered.present) == ordered
    if numbered.first_number is not None:
        assert numbered.first_number == min(found)
        assert set(numbered.gaps) == set(range(min(found), max(found))) - found


def test_a_template_may_overflow_and_need_not_be_one() -> None:
    assert is_template("a/x_####.cbf")
    assert is_template("a/x_%05d.cbf")
    assert not is_template("a_###/x_0001.cbf")


def test_numbers_may_outgrow_their_template(tmp_path: Path) -> None:
    for number in (8, 9, 10):
        write(tmp_path / f"x_{number}.tif", number)
    write(tmp_path / "x_011.tif", 99)
    assert numbers(open_frames(tmp_path / "x_#.tif")) == [8, 9, 10]


def test_growing_folders_are_followed_up_to_the_next_gap(folder: Path) -> None:
    for images in (folder / "run_###.tif", str(folder / "run_0*.tif")):
        for number in (13, 14, 15):
            (folder / f"run_{number:03d}.tif").unlink(missing_ok=True)
        source = open_frames(images)
        write(folder / "run_013.tif", 13)
        write(folder / "run_015.tif", 15)
        assert source.n_frames == 6
        assert source.refresh() == 7
        write(folder / "run_014.tif", 14)
        assert source.refresh() == 9
        assert numbers(source) == list(range(7, 16))


def test_sources_can_be_pickled_and_read_from_several_threads(folder: Path) -> None:
    source = pickle.loads(pickle.dumps(open_frames(folder / "run_###.tif")))
    order = [3, 1, 5, 0, 2, 4] * 5
    with ThreadPoolExecutor(4) as pool:
        read = [int(panels[0][0, 0]) for panels in pool.map(source.read, order)]
    assert read == [7 + index for index in order]


def test_missing_images_are_named_with_the_remedy(tmp_path: Path) -> None:
    missing = [
        str(tmp_path / "x_####.cbf"),
        tmp_path / "no_folder" / "x_####.cbf",
        tmp_path / "x_0001.cbf",
        ImageSet(template="x_####.cbf", folder=str(tmp_path)),
        [tmp_path / "x_0001.cbf", tmp_path / "x_0002.cbf"],
        ImageSet(),
    ]
    for images in missing:
        with pytest.raises(InputError, match="--images GLOB"):
            open_frames(images)
    with pytest.raises(InputError, match="no image matches the pattern"):
        open_frames(str(tmp_path / "x_*.cbf"))
    with pytest.raises(InputError, match="a folder is not an image"):
        open_frames(tmp_path)
    with pytest.raises(InputError, match="no images were given"):
        open_frames([])


def test_foreign_and_empty_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.cbf"
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="is empty"):
        open_frames(path)
    path.write_bytes(b"some text")
    with pytest.raises(FormatError, match=r"not an image of a kind.*b'some tex'"):
        read_header(path)


def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "x.cbf", 5)).phi_start == 0.5


def test_a_change_of_size_is_named(folder: Path) -> None:
    tifffile.imwrite(folder / "run_009.tif", np.zeros((5, 8), np.int32))
    source = open_frames(folder / "run_###.tif")
    with pytest.raises(FormatError, match=r"run_009\.tif has another size.*5 × 8, expected 6 × 8"):
        source.read(2)


def test_a_detector_of_another_size_is_refused(folder: Path) -> None:
    panel = Panel((0, 0, 100), (1, 0, 0), (0, 1, 0), (0.1, 0.1), (6, 8))
    with pytest.raises(InputError, match="images of 6 × 8, detector of 8 × 6"):
        open_frames(folder / "run_###.tif", detector=Detector((panel,)))


def test_frames_out_of_range_are_refused(folder: Path) -> None:
    source = open_frames(folder / "run_###.tif")
    for index in (-1, 6):
        with pytest.raises(InputError, match=f"frame {index} .*6 frames"):
            source.read(index)


def write_stack(path: Path, values: list[int]) -> Path:
    data = np.array(values, np.uint16)[:, None, None] * np.ones(SHAPE, np.uint16)
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = data
        file["entry/sample/goniometer/omega"] = np.array(values, float)
    return path


def test_several_hdf5_files_follow_one_another(tmp_path: Path) -> None:
    write_stack(tmp_path / "x_10_master.h5", [4, 5])
    write_stack(tmp_path / "x_9_master.h5", [1, 2, 3])
    write_stack(tmp_path / "x_9_data_000001.h5", [1, 2, 3])
    source = open_frames(str(tmp_path / "x_*.h5"))
    assert numbers(source) == [1, 2, 3, 4, 5]
    assert source.header(4).phi_start == 5
    assert numbers(pickle.loads(pickle.dumps(source))) == [1, 2, 3, 4, 5]
    assert read_header(tmp_path / "x_9_master.h5").phi_start == 1
    assert len(source.files()) == 2
    assert source.refresh() == 5


def test_an_image_set_picks_frames_of_files(tmp_path: Path) -> None:
    a = write_stack(tmp_path / "a.h5", [1, 2, 3]).name
    b = write_stack(tmp_path / "b.h5", [4, 5, 6]).name
    where = str(tmp_path)
    picked = ImageSet(paths=(b, a, b), indices=(2, 0, 1), folder=where)
    assert numbers(open_frames(picked)) == [6, 1, 5]
    assert numbers(open_frames(ImageSet(paths=(a,), indices=(2, 1), folder=where))) == [3, 2]
    assert numbers(open_frames(ImageSet(template=a, indices=(1,), folder=where))) == [2]
    assert numbers(open_frames(ImageSet(template=b, folder=where), image_range=(2, 3))) == [5, 6]
    with pytest.raises(InputError, match="2 paths and 3 indices"):
        open_frames(ImageSet(paths=(a, b), indices=(0, 1, 2), folder=where))
    with pytest.raises(InputError, match="frame 7"):
        open_frames(ImageSet(paths=(a,), indices=(7,), folder=where))


def test_the_snase_sweep_opens_by_pattern(unstill_data: Path) -> None:
    source = open_frames(str(unstill_data / "snase" / "snc_newhead_*.img"))
    assert source.n_frames == 10
    assert [source.header(i).phi_start for i in range(10)] == list(range(10))
    counts = source.read(9)[0]
    assert counts.shape == (1024, 1024)
    assert 600 < counts[counts >= 0].mean() < 900


def test_while_images_are_written_those_beyond_a_gap_wait(folder: Path) -> None:
    later = folder / "run_009.tif"
    later.rename(folder / "late")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = open_frames(folder / "run_###.tif", growing=True)
    assert numbers(source) == [7, 8]
    (folder / "late").rename(later)
    assert source.refresh() == 6
    assert numbers(source) == list(range(7, 13))


def test_a_single_image_that_a_pattern_found_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "x_7.tif", 7)
    source = open_frames(str(tmp_path / "x_*.tif"), growing=True)
    write(tmp_path / "x_8.tif", 8)
    write(tmp_path / "x_10.tif", 10)
    assert source.refresh() == 2
    assert numbers(source) == [7, 8]


def test_gzipped_images_belong_to_the_template(folder: Path) -> None:
    for number in range(7, 13):
        path = folder / f"run_{number:03d}.tif"
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    write(folder / "run_009.tif", 9)
    source = open_frames(folder / "run_###.tif")
    assert numbers(source) == list(range(7, 13))
    files = source.files()
    assert [Path(file).suffix for file in files] == [".gz", ".gz", ".tif", ".gz", ".gz", ".gz"]


def test_a_file_in_place_of_a_folder_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="folder of the images cannot be read"):
        open_frames(folder / "run_007.tif" / "x_###.tif")
