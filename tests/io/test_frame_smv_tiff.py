"""SMV and TIFF images, written and read by fabio and tifffile."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fabio.adscimage import AdscImage

from unstill.errors import FormatError
from unstill.experiment import INVALID, OVERLOADED
from unstill.io.frames.smv import read_smv, read_smv_header
from unstill.io.frames.tiff import read_tiff, read_tiff_header


def write_smv(path: Path, values: np.ndarray, **fields: object) -> Path:
    said = {"HEADER_BYTES": 512, "SIZE1": values.shape[1], "SIZE2": values.shape[0], **fields}
    text = "{\n" + "".join(f"{key}={value};\n" for key, value in said.items()) + "}\f"
    path.write_bytes(text.encode().ljust(512) + values.tobytes())
    return path


@pytest.fixture
def values() -> np.ndarray:
    counts = np.random.default_rng(2).poisson(40.0, (20, 30))
    counts[1, 2], counts[3, 4] = 60000, 65535
    return counts


@pytest.mark.parametrize(
    ("kind", "order", "dtype"),
    [
        ("unsigned_short", "little_endian", "<u2"),
        ("unsigned_short", "big_endian", ">u2"),
        ("signed_long", "little_endian", "<i4"),
        ("unsigned_long", "big_endian", ">u4"),
        ("float", "little_endian", "<f4"),
    ],
)
def test_smv_of_every_type_is_read(
    tmp_path: Path, values: np.ndarray, kind: str, order: str, dtype: str
) -> None:
    path = write_smv(
        tmp_path / "x.img",
        values.astype(dtype),
        TYPE=kind,
        BYTE_ORDER=order,
        CCD_IMAGE_SATURATION=60000,
    )
    expected = np.where(values >= 60000, OVERLOADED, values)
    assert np.array_equal(read_smv(path), expected)
    packed = tmp_path / "x.img.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(read_smv(packed), expected)
    assert read_smv_header(packed) == read_smv_header(path)


def test_fabio_reads_and_writes_the_same_smv(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "x.img"
    AdscImage(data=values.astype(np.uint16), header={}).write(str(path))
    # Without a saturation the largest number of the type is an overload: it was clipped.
    assert np.array_equal(read_smv(path), np.where(values == 65535, OVERLOADED, values))


def test_smv_faults_are_named(tmp_path: Path, values: np.ndarray) -> None:
    path = write_smv(tmp_path / "x.img", values.astype("<u2"), TYPE="unsigned_short")
    content = path.read_bytes()
    path.write_bytes(content[:-7])
    with pytest.raises(FormatError, match="1193 bytes of pixels, expected 1200"):
        read_smv(path)
    path.write_bytes(content.replace(b"unsigned_short", b"complex_double"))
    with pytest.raises(FormatError, match="TYPE = complex_double"):
        read_smv(path)
    path.write_bytes(content.replace(b"SIZE1=30", b"SIZE1=xx"))
    with pytest.raises(FormatError, match="how large"):
        read_smv_header(path)
    path.write_bytes(b"[" + content[1:])
    with pytest.raises(FormatError, match="not an SMV image"):
        read_smv(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"SIZE1": "30.5"}, "how large"),
        ({"SIZE1": "nan"}, "how large"),
        ({"BYTE_ORDER": "middle_endian"}, "BYTE_ORDER = middle_endian"),
    ],
)
def test_smv_headers_that_make_no_sense_are_refused(
    tmp_path: Path, values: np.ndarray, fields: dict[str, str], message: str
) -> None:
    path = write_smv(tmp_path / "x.img", values.astype("<u2"), **fields)
    with pytest.raises(FormatError, match=message):
        read_smv(path)


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "0"])
def test_a_saturation_that_makes_no_sense_is_none(
    tmp_path: Path, values: np.ndarray, number: str
) -> None:
    said = {"CCD_IMAGE_SATURATION": number, "TIME": "inf", "IMAGE_PEDESTAL": "nan"}
    path = write_smv(tmp_path / "x.img", values.astype("<u2"), **said)
    expected = np.where(values == 65535, OVERLOADED, values)
    assert np.array_equal(read_smv(path), expected)
    header = read_smv_header(path)
    assert (header.count_cutoff, header.exposure_time, header.pedestal) == (None, None, None)


def test_fractional_pixels_are_refused(tmp_path: Path) -> None:
    path = write_smv(tmp_path / "x.img", np.full((2, 2), 0.5, "<f4"), TYPE="float")
    with pytest.raises(FormatError, match=r"not whole numbers.*0\.5"):
        read_smv(path)


def test_the_snase_frames_have_ten_angles_and_the_refined_beam(unstill_data: Path) -> None:
    folder = unstill_data / "snase"
    headers = [read_smv_header(folder / f"snc_newhead_{i + 1:05d}.img") for i in range(10)]
    assert [header.phi_start for header in headers] == list(range(10))
    assert {header.phi_width for header in headers} == {0.0}
    header = headers[0]
    assert (header.wavelength, header.distance, header.exposure_time) == (0.908, 57.43, 2.0)
    assert header.count_cutoff == 65534
    # Where the refined beam meets the refined detector, within a pixel: X is slow, Y fast.
    refined = json.loads((folder / "refined_experiments.json").read_text())
    panel = refined["detector"][0]["panels"][0]
    axes = np.array([panel["fast_axis"], panel["slow_axis"]])
    normal = np.cross(*axes)
    beam = -np.array(refined["beam"][0]["direction"])
    hit = beam * (np.dot(panel["origin"], normal) / (beam @ normal)) - panel["origin"]
    assert header.beam_center == pytest.approx(tuple(axes @ hit / 0.08), abs=1.0)


def test_the_snase_pixels_agree_with_fabio(unstill_data: Path) -> None:
    path = unstill_data / "snase" / "snc_newhead_00004.img"
    with AdscImage() as image:
        image.read(str(path))
        expected = image.data.astype(int)
    counts = read_smv(path)
    assert np.array_equal(counts, np.where(expected >= 65535, OVERLOADED, expected))
    assert 0 < (counts == OVERLOADED).sum() < 100 or counts.max() < 65535


PILATUS_TIFF = (
    "# Pixel_size 172e-6 m x 172e-6 m\n# Exposure_time 0.5 s\n# Count_cutoff 1000 counts\n"
)


@pytest.mark.parametrize("dtype", ["u2", "i4", "u4", "f4", ">u2"])
def test_tiff_of_every_type_is_read(tmp_path: Path, values: np.ndarray, dtype: str) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, values.astype(dtype), description=PILATUS_TIFF, metadata=None)
    assert np.array_equal(read_tiff(path), np.where(values >= 1000, OVERLOADED, values))
    header = read_tiff_header(path)
    assert header.exposure_time == 0.5
    assert header.image_size == (30, 20)
    assert header.pixel_size == pytest.approx((0.172, 0.172))


def test_negative_tiff_pixels_are_invalid(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.array([[-1, -2, 7]], np.int32), metadata=None)
    assert read_tiff(path).tolist() == [[INVALID, INVALID, 7]]
    tifffile.imwrite(path, np.array([[2**32 - 1, 2**32 - 2, 2**31, 7]], np.uint32), metadata=None)
    assert read_tiff(path).tolist() == [[INVALID, OVERLOADED, OVERLOADED, 7]]


def test_tiff_faults_are_named(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((3, 20, 30), np.uint16), photometric="minisblack")
    with pytest.raises(FormatError, match="3 pages"):
        read_tiff(path)
    tifffile.imwrite(path, np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(FormatError, match="not a picture of counts"):
        read_tiff(path)
    tifffile.imwrite(path, values.astype(np.uint16), metadata=None)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(FormatError, match="cannot be read as a TIFF image"):
        read_tiff(path)
