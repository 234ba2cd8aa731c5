"""Mini-CBF images: pixels and header, and what is said of damaged ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from fabio.cbfimage import CbfImage

from unstill.errors import FormatError
from unstill.experiment import INVALID, OVERLOADED
from unstill.io.frames.mini_cbf import BINARY_START, read_cbf, read_cbf_header

COMMENTS = """
# Detector: PILATUS 300K, S/N 3-0001
# 2020-01-02T03:04:05.678
# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000450 m
# Exposure_time 0.0970000 s
# Exposure_period 0.1000000 s
# Count_cutoff 5000 counts
# Wavelength 0.9795 A
# Detector_distance 0.19000 m
# Beam_xy (31.20, 41.50) pixels
# Filter_transmission 0.2500
# Start_angle -10.5000 deg.
# Angle_increment 0.1000 deg."""


@pytest.fixture
def counts() -> np.ndarray:
    values = np.random.default_rng(1).poisson(3.0, (40, 60)).astype(np.int32)
    values[3, 4], values[5, 6], values[7, 8], values[9, 10] = -1, -2, 5000, 70000
    return values


@pytest.fixture
def image(tmp_path: Path, counts: np.ndarray) -> Path:
    """Return an image as fabio writes it, with the comments of a Pilatus."""
    path = tmp_path / "x_0001.cbf"
    header = {
        "_array_data.header_convention": "PILATUS_1.2",
        "_array_data.header_contents": COMMENTS,
    }
    CbfImage(data=counts, header=header).write(str(path))
    return path


def test_pixels_are_marked_and_counts_are_kept(image: Path, counts: np.ndarray) -> None:
    read = read_cbf(image)
    assert read.dtype == np.int32
    expected = counts.copy()
    expected[counts < 0] = INVALID
    expected[counts >= 5000] = OVERLOADED
    assert np.array_equal(read, expected)


def test_the_header_is_in_our_units(image: Path) -> None:
    header = read_cbf_header(image)
    assert header.phi_start == -10.5
    assert header.phi_width == 0.1
    assert header.exposure_time == 0.097
    assert header.wavelength == 0.9795
    assert header.distance == 190.0
    assert header.beam_center == (31.2, 41.5)
    assert header.pixel_size == pytest.approx((0.172, 0.172))
    assert header.image_size == (60, 40)
    assert header.transmission == 0.25
    assert header.count_cutoff == 4999
    assert header.thickness == 0.45
    assert header.material == "Si"
    assert header.detector == "PILATUS 300K, S/N 3-0001"
    assert header.timestamp == "2020-01-02T03:04:05.678"
    assert header.other["Exposure_period"] == "0.1000000 s"


def test_gzipped_images_read_the_same(image: Path) -> None:
    packed = image.with_suffix(".cbf.gz")
    packed.write_bytes(gzip.compress(image.read_bytes()))
    assert np.array_equal(read_cbf(packed), read_cbf(image))
    assert read_cbf_header(packed) == read_cbf_header(image)


def test_a_cut_file_is_refused_with_both_byte_counts(image: Path) -> None:
    content = image.read_bytes()
    start = content.index(BINARY_START) + len(BINARY_START)
    image.write_bytes(content[: start + 1000])
    with pytest.raises(FormatError, match=r"cut short.*1000 bytes of pixels, expected \d{4}"):
        read_cbf(image)


def test_a_changed_byte_is_noticed_by_the_checksum(image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[content.index(BINARY_START) + 1000] ^= 1
    image.write_bytes(content)
    with pytest.raises(FormatError, match=r"damaged.*MD5"):
        read_cbf(image)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"x-CBF_BYTE_OFFSET", b"x-CBF_PACKED", "conversions = x-CBF_PACKED"),
        (b"X-Binary-Size-Second", b"X-Binary-Size-Secund", "how large"),
        (b"Fastest-Dimension: 60", b"Fastest-Dimension: 99999999", "contradicts itself"),
        (b"###CBF", b"##XCBF", "not a CBF image"),
        (BINARY_START, b"....", "no pixels"),
    ],
)
def test_other_faults_are_named(image: Path, old: bytes, new: bytes, message: str) -> None:
    content = image.read_bytes()
    assert old in content
    image.write_bytes(content.replace(old, new))
    with pytest.raises(FormatError, match=message):
        read_cbf(image)


def test_a_cut_gzip_is_refused(image: Path) -> None:
    packed = image.with_suffix(".cbf.gz")
    packed.write_bytes(gzip.compress(image.read_bytes())[:2000])
    with pytest.raises(FormatError, match="cannot be read as a CBF image"):
        read_cbf(packed)


@pytest.mark.parametrize("name", ["DLS_I03_smargon_0001", "dlsnxs2cbf_therm_0001"])
def test_real_images_agree_with_fabio(unstill_data: Path, tmp_path: Path, name: str) -> None:
    packed = unstill_data / "geometry" / f"{name}.cbf.gz"
    plain = tmp_path / f"{name}.cbf"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    with CbfImage() as image:
        image.read(str(plain))
        expected = image.data
    counts = read_cbf(packed)
    assert np.array_equal(counts == INVALID, expected < 0)
    assert np.array_equal(counts[counts >= 0], expected[expected >= 0])
    header = read_cbf_header(packed)
    assert header.image_size == expected.shape[::-1]
    known = {
        "DLS_I03_smargon_0001": (45.0, 0.1, 0.009, 0.97625, 291.47),
        "dlsnxs2cbf_therm_0001": (174.0, 0.25, 0.008, 0.98027, 213.96),
    }[name]
    assert (
        header.phi_start,
        header.phi_width,
        header.exposure_time,
        header.wavelength,
        header.distance,
    ) == pytest.approx(known)
    # The one writes per cent, the other a share.
    assert header.transmission == pytest.approx({45.0: 0.300376, 174.0: 0.011}[known[0]])
