"""Headers against the experiment: which images, which angles, which times."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy.ndimage import uniform_filter
from test_experiment_dials_expt import small_sweep

from unstill.errors import InputError, UnstillWarning
from unstill.experiment import (
    INVALID,
    Detector,
    Experiment,
    FrameHeader,
    FrameSubset,
    ImageSet,
    Scan,
)
from unstill.experiment.pixels import scattering_vectors
from unstill.io.experiment_files import read_experiments
from unstill.io.frames.open_frames import open_frames
from unstill.io.image_writers import EigerWriter
from unstill.io.scan_headers import reconcile_scan
from unstill.io.sweep_frames import match_frames


@dataclass(frozen=True)
class Frames:
    """Frames that are nothing but headers."""

    headers: tuple[FrameHeader, ...]
    names: tuple[str, ...] = ()
    shapes: tuple[tuple[int, int], ...] = ((48, 64), (48, 64))
    read_headers: list[int] = field(default_factory=list)

    @property
    def n_frames(self) -> int:
        return len(self.headers)

    def header(self, index: int) -> FrameHeader:
        self.read_headers.append(index)
        return self.headers[index]

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        return tuple(np.full(shape, index, dtype=np.int32) for shape in self.shapes)

    def refresh(self) -> int:
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        return self.names


def frames(
    n: int = 4,
    *,
    start: float = 12.3,
    step: float = 0.1,
    width: float | None = 0.1,
    first: int = 7,
    **more: Any,
) -> Frames:
    header = FrameHeader(phi_width=width, **({"exposure_time": 0.1} | more))
    return Frames(
        tuple(replace(header, phi_start=round(start + i * step, 4)) for i in range(n)),
        tuple(f"img/a_{first + i:04d}.cbf" for i in range(n)),
    )


def sweep(n_frames: int = 4, **scan: Any) -> Experiment:
    one = small_sweep(n_frames, drifts=False)
    assert one.scan is not None
    given = {"exposure_times": np.full(n_frames, 0.1)} | scan
    # Files of gain and pedestal have their own tests.
    images = replace(one.images, gain="", pedestal="")
    return one.replace(scan=replace(one.scan, **given), images=images)


def silently(call: Callable[[], Experiment]) -> Experiment:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


def test_headers_that_agree_change_nothing() -> None:
    experiment = sweep()
    found = silently(lambda: reconcile_scan(experiment, frames()))
    assert found.scan is experiment.scan


@pytest.mark.parametrize(
    ("told", "values"),
    [
        ({"start": 40.0}, ("40 to", "12.3 to")),
        ({"step": 0.2, "width": 0.2}, ("steps of 0.2", "steps of 0.1")),
        ({"step": 1.0, "width": 0.0}, ("turning by 0", "steps of 0.1")),
        ({"step": -0.1}, ("steps of -0.1", "steps of 0.1")),
    ],
)
def test_headers_that_contradict_win_and_both_are_told(
    told: dict[str, float], values: tuple[str, str]
) -> None:
    source = frames(**told)
    with pytest.warns(UnstillWarning, match="contradict") as caught:
        found = reconcile_scan(sweep(), source)
    assert found.scan is not None
    for i in range(4):
        phi = source.headers[i].phi_start
        assert phi is not None
        assert found.phi(float(i)) == pytest.approx(phi, abs=1e-6)
    for value in values:
        assert value in str(caught[0].message)
    with pytest.warns(UnstillWarning, match="the experiment is believed"):
        kept = reconcile_scan(sweep(), source, prefer="expt")
    assert kept.scan is not None
    assert (kept.scan.phi_start, kept.scan.phi_step) == (12.3, 0.1)


def test_stills_at_steps_stand_at_the_angle_of_the_header() -> None:
    with pytest.warns(UnstillWarning):
        found = reconcile_scan(sweep(), frames(step=1.0, width=0.0))
    assert [found.phi(i + 0.5) for i in range(4)] == pytest.approx([12.3, 13.3, 14.3, 15.3])


def test_a_width_of_zero_is_not_believed_where_the_scan_agrees() -> None:
    with pytest.warns(UnstillWarning, match="rotation of 0 degrees"):
        found = reconcile_scan(sweep(), frames(width=0.0))
    assert found.scan is not None
    assert found.scan.phi_width == 0.1


def test_angles_that_pass_a_full_turn_are_equal_steps() -> None:
    experiment = sweep(phi_start=359.8)
    source = frames(start=359.8)
    wrapped = tuple(replace(h, phi_start=float(h.phi_start or 0) % 360) for h in source.headers)
    found = silently(lambda: reconcile_scan(experiment, replace(source, headers=wrapped)))
    assert found.scan is experiment.scan


def test_angles_at_unequal_steps_are_refused() -> None:
    source = frames()
    headers = list(source.headers)
    headers[2] = replace(headers[2], phi_start=99.0)
    with pytest.raises(InputError, match=r"unequal angles.*frame 3 at 99"):
        reconcile_scan(sweep(), replace(source, headers=tuple(headers)))


def test_the_zero_of_xds_is_free() -> None:
    experiment = sweep(free_origin=True)
    found = silently(lambda: reconcile_scan(experiment, frames(start=77.0)))
    assert found.scan is not None
    assert found.scan.phi_start == 12.3


def test_a_scan_of_unknown_length_takes_that_of_the_images() -> None:
    experiment = sweep(1, free_origin=True, open_ended=True)
    found = silently(lambda: reconcile_scan(experiment, frames(9)))
    assert found.scan is not None
    assert (found.n_frames, found.scan.open_ended) == (9, False)


def test_long_sweeps_have_a_sample_of_headers_read() -> None:
    experiment, source = sweep(3600), frames(3600)
    silently(lambda: reconcile_scan(experiment, source))
    assert len(source.read_headers) < 40


@pytest.mark.parametrize("prefer", ["header", "expt"])
def test_exposure_times_that_contradict_are_told(prefer: Any) -> None:
    with pytest.warns(UnstillWarning, match=r"0.5 s and the experiment 0.1 s"):
        found = reconcile_scan(sweep(), frames(exposure_time=0.5), prefer=prefer)
    assert found.scan is not None
    assert found.scan.exposure_times[3] == (0.5 if prefer == "header" else 0.1)


def test_unknown_exposure_times_come_from_the_headers_or_are_refused() -> None:
    unknown = sweep(exposure_times=np.zeros(4))
    found = silently(lambda: reconcile_scan(unknown, frames(exposure_time=0.5)))
    assert found.scan is not None
    np.testing.assert_array_equal(found.scan.exposure_times, np.full(4, 0.5))
    with pytest.raises(InputError, match=r"exposure time.*not known.*exposure_time in seconds"):
        reconcile_scan(unknown, frames(exposure_time=None))
    with pytest.raises(InputError, match=r"exposure time.*not known"):
        reconcile_scan(unknown, frames(exposure_time=0.0))
    headers = list(frames().headers)
    headers[2] = replace(headers[2], exposure_time=None)
    with pytest.raises(InputError, match="frame 3 has 0 seconds"):
        reconcile_scan(unknown, replace(frames(), headers=tuple(headers)))


def test_stills_take_their_exposure_time_from_the_header() -> None:
    one = sweep()
    still = Experiment(one.beam, one.detector, lattice=one.lattice)
    found = silently(lambda: reconcile_scan(still, frames(1, exposure_time=0.02)))
    assert found.is_still
    assert found.scan is not None
    assert found.scan.exposure_times[0] == 0.02
    np.testing.assert_array_equal(found.setting(0.5), still.setting(0.5))
    with pytest.warns(UnstillWarning, match="1 second is taken"):
        found = reconcile_scan(still, frames(1, exposure_time=None))
    with pytest.raises(InputError, match="a still has one image"):
        reconcile_scan(still, frames(2))


def test_a_wrong_distance_or_wavelength_is_told() -> None:
    one = sweep()
    panel = one.detector.panels[0]
    one = one.replace(detector=Detector((panel, panel)))
    away = panel.distance
    silently(lambda: reconcile_scan(one, frames(distance=1.005 * away, wavelength=0.97)))
    with pytest.warns(UnstillWarning, match=r"wrong detector distance\?.*mm.*mm"):
        reconcile_scan(one, frames(distance=1.02 * away))
    with pytest.warns(UnstillWarning, match=r"wrong wavelength\?.*0.98000.*0.97000"):
        reconcile_scan(one, frames(wavelength=0.98))


def test_what_only_the_header_knows_is_taken() -> None:
    one = sweep()
    bare = replace(one.detector.panels[0], thickness=0.0, mu=0.0, material="", parallax=False)
    one = one.replace(
        detector=Detector((bare, one.detector.panels[1])),
        beam=replace(one.beam, transmission=1.0),
    )
    source = frames(thickness=0.45, material="Silicon", transmission=0.2)
    found = silently(lambda: reconcile_scan(one, source))
    first, second = found.detector.panels
    assert (first.thickness, first.parallax) == (0.45, False)
    assert first.mu == pytest.approx(3.85, rel=0.01)
    assert second.thickness == 0.32
    assert found.beam.transmission == 0.2
    cheese = silently(lambda: reconcile_scan(one, frames(thickness=0.45, material="cheese")))
    assert cheese.detector.panels[0].thickness == 0


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"another size.*10 × 9.*64 × 48"):
        reconcile_scan(sweep(), replace(frames(), shapes=((9, 10), (9, 10))))
    with pytest.raises(InputError, match="more images than"):
        reconcile_scan(sweep(), frames(5))
    with pytest.raises(InputError, match="has no images"):
        reconcile_scan(sweep(), frames(0))
    with pytest.warns(UnstillWarning, match="4 frames and there are 3 images"):
        assert reconcile_scan(sweep(), frames(3)).n_frames == 3


def test_images_are_matched_by_their_numbers() -> None:
    """Two sweeps share one pattern of files; a third has no images at all."""
    source = frames(10, first=5)
    one, two = sweep(), sweep(2, first_image=12)
    matched = match_frames(one, source)
    assert matched is not None
    experiment, part = matched
    assert isinstance(part, FrameSubset)
    assert part.indices == (2, 3, 4, 5)
    assert part.files() == tuple(f"img/a_{i:04d}.cbf" for i in range(7, 11))
    assert part.read(0)[0][0, 0] == 2
    assert part.header(1) == source.headers[3]
    assert (part.n_frames, part.refresh(), part.shapes) == (4, 4, source.shapes)
    assert experiment is one
    second = match_frames(two, source)
    assert second is not None
    assert second[1].n_frames == 2
    assert match_frames(sweep(first_image=100), source) is None
    assert match_frames(one, frames(0)) is None


def test_missing_images_at_the_ends_shorten_the_sweep() -> None:
    with pytest.warns(UnstillWarning, match="images 9 to 10 only, of 7 to 10"):
        matched = match_frames(sweep(), frames(3, first=9))
    assert matched is not None
    experiment, source = matched
    assert experiment.scan is not None
    assert (experiment.scan.first_image, experiment.scan.n_frames) == (9, 2)
    assert experiment.scan.phi_start == pytest.approx(12.5)
    assert source.n_frames == 2


def test_missing_images_in_the_middle_are_named() -> None:
    source = frames()
    holed = replace(
        source,
        headers=source.headers[:3],
        names=("a_0007.cbf.gz", "a_0008.cbf.gz", "a_0010.cbf.gz"),
    )
    with pytest.raises(InputError, match="no image 9 between 7 and 10"):
        match_frames(sweep(), holed)


def test_images_after_a_gap_keep_their_angles(tmp_path: Path) -> None:
    """Without the first image and one in the middle, nothing moves by a frame."""
    one = sweep(6, first_image=1)
    panels = (replace(one.detector.panels[0], offset=(0, 0)),)
    one = one.replace(detector=Detector(panels))
    for number in (2, 3, 5, 6):
        tifffile.imwrite(tmp_path / f"a_{number}.tif", np.full(panels[0].shape, number, "i4"))
    with pytest.warns(UnstillWarning, match="number 4"):
        source = open_frames(str(tmp_path / "a_*.tif"), detector=one.detector)
    with pytest.warns(UnstillWarning, match="images 2 to 6 only, of 1 to 6"):
        matched = match_frames(one, source)
    assert matched is not None
    experiment, part = matched
    assert experiment.scan is not None
    assert (experiment.scan.first_image, experiment.n_frames, part.n_frames) == (2, 5, 5)
    assert [part.read(i)[0][0, 0] for i in range(5)] == [2, 3, INVALID, 5, 6]
    assert experiment.phi(3.5) == one.phi(4.5)


def test_frames_without_a_file_say_nothing_of_the_sweep() -> None:
    source = frames(5, start=40.0, exposure_time=0.5)
    headers = list(source.headers)
    headers[0] = headers[2] = FrameHeader()
    holed = replace(source, headers=tuple(headers))
    with pytest.warns(UnstillWarning, match="contradict"), pytest.warns(match=r"time of 0\.5 s"):
        found = reconcile_scan(sweep(5), holed)
    assert found.scan is not None
    assert found.scan.phi_start == pytest.approx(40.0, abs=1e-6)
    assert found.scan.exposure_times.tolist() == [0.5] * 5


def test_frames_of_one_file_are_counted_from_image_one() -> None:
    many = replace(frames(20), names=("run_master.h5",))
    matched = match_frames(sweep(), many)
    assert matched is not None
    assert isinstance(matched[1], FrameSubset)
    assert matched[1].indices == (6, 7, 8, 9)
    assert matched[1].files() == ("run_master.h5",)
    # No more frames than the scan has: the file holds this sweep alone.
    few = replace(frames(3), names=("run_master.h5",))
    alone = match_frames(sweep(), few)
    assert alone is not None
    assert alone[1] is few


def eiger_files(folder: Path, n: int, per_file: int) -> list[Path]:
    """Write an Eiger master and its data files; every pixel holds the number of its image."""
    shape = sweep().detector.panels[0].shape
    writer = EigerWriter(folder, "run", n, shape, FrameHeader(), frames_per_file=per_file)
    writer.write_master()
    for number in range(1, n + 1):
        writer.add(np.full(shape, number, dtype=np.int32))
    return list(writer.data_files)


@pytest.mark.parametrize("given", [slice(1, 2), slice(1, 3), slice(0, 3)])
def test_later_data_files_keep_the_numbers_of_their_images(tmp_path: Path, given: slice) -> None:
    """A data file without its master does not slide to the beginning of the scan."""
    files = eiger_files(tmp_path, 10, 4)
    one = sweep(10, first_image=1, phi_start=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstillWarning)
        matched = match_frames(one, open_frames(files[given]))
    assert matched is not None
    experiment, source = matched
    assert experiment.scan is not None
    wanted = list(range(1, 11))[4 * given.start : 4 * given.stop]
    assert [source.read(i)[0][0, 0] for i in range(source.n_frames)] == wanted
    assert list(experiment.scan.image_numbers) == wanted
    assert experiment.phi(0.0) == pytest.approx(0.1 * (wanted[0] - 1))


@pytest.mark.parametrize("image_range", [None, (1, 4)])
def test_a_scan_made_from_a_later_data_file_alone_fits_it(
    tmp_path: Path, image_range: tuple[int, int] | None
) -> None:
    files = eiger_files(tmp_path, 8, 4)
    alone = sweep(4, first_image=1)
    matched = match_frames(alone, open_frames(files[1], image_range=image_range))
    assert matched is not None
    assert matched[0] is alone
    assert matched[1].read(0)[0][0, 0] == 5


def test_stills_of_one_file_take_their_own_frames() -> None:
    one = sweep()
    still = Experiment(one.beam, one.detector, images=ImageSet(paths=("run.h5",), indices=(2,)))
    matched = match_frames(still, replace(frames(5), names=("run.h5",)))
    assert matched is not None
    assert isinstance(matched[1], FrameSubset)
    assert matched[1].indices == (2,)


def test_the_headers_of_the_nuclease_frames_win(unstill_data: Path) -> None:
    folder = unstill_data / "snase"
    one, two = read_experiments(folder / "refined_experiments.json", space_group="P 41")
    source = open_frames(str(folder / "snc_newhead_*.img"))
    assert match_frames(two, source) is None
    with pytest.warns(UnstillWarning, match="images 1 to 10 only"):
        matched = match_frames(one, source)
    assert matched is not None
    with pytest.warns(UnstillWarning, match=r"0 to 10 degrees.*0 to 20 degrees"):
        found = reconcile_scan(*matched)
    assert found.scan is not None
    assert (found.n_frames, found.scan.phi_step, found.scan.phi_width) == (10, 1.0, 0.0)
    assert found.crystal.space_group == "P 41"


def test_strong_pixels_of_the_nuclease_say_what_the_angle_means(unstill_data: Path) -> None:
    """PHI puts them closest to integer hkl; half a step later or earlier does not."""
    folder = unstill_data / "snase"
    experiment = read_experiments(folder / "refined_experiments.json")[0]
    source = open_frames(str(folder / "snc_newhead_*.img"))
    off = {-0.5: [], 0.0: [], 0.5: []}  # type: dict[float, list[np.ndarray]]
    for i in (0, 4, 9):
        (image,) = source.read(i)
        inner = image[40:-40, 40:-40].astype(float)
        around = uniform_filter(inner, 15)
        excess = (inner - around) / np.sqrt(around + 1)
        slow, fast = np.nonzero(excess > np.partition(excess.ravel(), -1000)[-1000])
        s = scattering_vectors(
            experiment.beam, experiment.detector.panels[0], fast + 40.5, slow + 40.5
        )
        assert experiment.goniometer is not None
        for shift, found in off.items():
            turn = experiment.goniometer.rotation(i + shift)
            hkl = s @ np.linalg.inv(turn @ experiment.indexed_lattice.a_matrix).T
            found.append(np.linalg.norm(hkl - np.round(hkl), axis=1))
    median = {shift: float(np.median(np.concatenate(found))) for shift, found in off.items()}
    assert median[0.0] < 0.85 * min(median[-0.5], median[0.5])


def test_a_still_scan_is_a_still() -> None:
    one = sweep()
    assert one.replace(scan=Scan(1, 3.0, 0.0)).is_still
    assert not one.replace(scan=Scan(2, 3.0, 1.0, 0.0)).is_still
