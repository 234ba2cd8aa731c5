"""HDF5 as Eiger detectors write it: a master file, and data files that it links to.

The master is there from the beginning and announces all frames; data files come
one after another, each whole, so that a reader can follow a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from unstill.errors import InputError
from unstill.experiment import INVALID, OVERLOADED, FrameHeader
from unstill.io.atomic import atomic_path
from unstill.io.nexus import writing_hdf5

_MATERIALS = {"Si": "Silicon"}


@dataclass(eq=False)
class EigerWriter:
    """Writes the frames of one sweep.

    Parameters
    ----------
    folder
        Must exist.
    prefix
        Files are ``prefix_master.h5`` and ``prefix_data_000001.h5`` …
    n_frames
        Frames that will come.
    shape
        Rows and columns of a frame.
    header
        Of the first frame; angles of the others follow in equal steps.
    frames_per_file
        Frames in a data file.
    bad
        ``(slow, fast)`` bool, pixels that are never to be used; goes into ``pixel_mask``.
    phi_step
        From frame to frame (degrees); by default the width of a frame.
    """

    folder: Path
    prefix: str
    n_frames: int
    shape: tuple[int, int]
    header: FrameHeader
    frames_per_file: int = 100
    bad: np.ndarray | None = None
    phi_step: float | None = None
    _waiting: list[np.ndarray] = field(default_factory=list)
    _next: int = 0

    @property
    def master(self) -> Path:
        """Path of the master file."""
        return self.folder / f"{self.prefix}_master.h5"

    @property
    def data_files(self) -> tuple[Path, ...]:
        """Paths of all data files, there or not."""
        n = -(-self.n_frames // self.frames_per_file)
        return tuple(self.folder / f"{self.prefix}_data_{i + 1:06d}.h5" for i in range(n))

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels: 16 bits where the largest count fits."""
        cutoff = self.header.count_cutoff
        return np.dtype(np.uint16 if cutoff is not None and cutoff <= 65533 else np.uint32)

    def write_master(self) -> None:
        """Write the master file; the files that it links to need not be there.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with atomic_path(self.master) as temporary, writing_hdf5(temporary) as file:
            file.attrs["default"] = "entry"
            entry = _group(file, "entry", "NXentry")
            entry["definition"] = "NXmx"
            data = _group(entry, "data", "NXdata")
            for i, path in enumerate(self.data_files):
                data[f"data_{i + 1:06d}"] = h5py.ExternalLink(path.name, "/entry/data/data")
            self._instrument(entry)
            self._sample(entry)

    def skip_written(self) -> int:
        """Go on after the data files that are there, whole; return the next frame."""
        done = 0
        for path in self.data_files:
            if not path.is_file():
                break
            done += 1
        self._waiting.clear()
        self._next = min(done * self.frames_per_file, self.n_frames)
        return self._next

    def add(self, frame: np.ndarray) -> None:
        """Add the next frame; a data file is written when it is full.

        Parameters
        ----------
        frame
            ``(slow, fast)`` int32, with ``INVALID`` and ``OVERLOADED`` pixels.

        Raises
        ------
        InputError
            If the frame has another size, or there are more than announced.
        OutputError
            If the file cannot be written.
        """
        if frame.shape != self.shape or self._next >= self.n_frames:
            raise InputError(
                "the frame does not belong to this sweep",
                found=f"frame {self._next + 1} of {frame.shape}",
                fix=f"give {self.n_frames} frames of {self.shape}",
            )
        self._waiting.append(self._encoded(frame))
        self._next += 1
        if len(self._waiting) == self.frames_per_file or self._next == self.n_frames:
            self._write_data((self._next - 1) // self.frames_per_file)

    def _encoded(self, frame: np.ndarray) -> np.ndarray:
        top = int(np.iinfo(self.dtype).max)
        raw = frame.astype(np.int64)
        raw[frame == INVALID] = top
        raw[frame == OVERLOADED] = top - 1
        return raw.astype(self.dtype)

    def _write_data(self, number: int) -> None:
        with atomic_path(self.data_files[number]) as temporary, writing_hdf5(temporary) as file:
            data = _group(_group(file, "entry", "NXentry"), "data", "NXdata")
            dataset = data.create_dataset(
                "data",
                shape=(len(self._waiting), *self.shape),
                dtype=self.dtype,
                chunks=(1, *self.shape),
                **hdf5plugin.Bitshuffle(cname="lz4"),
            )
            for i, frame in enumerate(self._waiting):
                dataset[i] = frame
            first = number * self.frames_per_file + 1
            dataset.attrs["image_nr_low"] = first
            dataset.attrs["image_nr_high"] = first + len(self._waiting) - 1
        self._waiting.clear()

    def _instrument(self, entry: h5py.Group) -> None:
        header = self.header
        instrument = _group(entry, "instrument", "NXinstrument")
        beam = _group(instrument, "beam", "NXbeam")
        _number(beam, "incident_wavelength", header.wavelength, "angstrom")
        if header.transmission is not None:
            attenuator = _group(instrument, "attenuator", "NXattenuator")
            _number(attenuator, "attenuator_transmission", header.transmission)
        detector = _group(instrument, "detector", "NXdetector")
        detector["description"] = header.detector or "simulated"
        _number(detector, "detector_distance", _metres(header.distance), "m")
        for i, axis in enumerate("xy"):
            if header.beam_center is not None:
                _number(detector, f"beam_center_{axis}", header.beam_center[i], "pixel")
            if header.pixel_size is not None:
                _number(detector, f"{axis}_pixel_size", _metres(header.pixel_size[i]), "m")
        _number(detector, "count_time", header.exposure_time, "s")
        _number(detector, "frame_time", header.exposure_time, "s")
        _number(detector, "sensor_thickness", _metres(header.thickness), "m")
        if header.material:
            detector["sensor_material"] = _MATERIALS.get(header.material, header.material)
        _number(detector, "saturation_value", header.count_cutoff)
        detector["bit_depth_image"] = self.dtype.itemsize * 8
        self._specific(_group(detector, "detectorSpecific", "NXcollection"))
        if self.bad is not None:
            detector.create_dataset(
                "pixel_mask", data=self.bad.astype(np.uint32), compression="gzip"
            )

    def _specific(self, group: h5py.Group) -> None:
        group["nimages"] = self.n_frames
        group["ntrigger"] = 1
        group["x_pixels_in_detector"] = self.shape[1]
        group["y_pixels_in_detector"] = self.shape[0]
        _number(group, "countrate_correction_count_cutoff", self.header.count_cutoff)

    def _sample(self, entry: h5py.Group) -> None:
        header = self.header
        sample = _group(entry, "sample", "NXsample")
        if header.phi_start is None or header.phi_width is None:
            return
        step = header.phi_width if self.phi_step is None else self.phi_step
        start = header.phi_start + step * np.arange(self.n_frames)
        goniometer = _group(sample, "goniometer", "NXtransformations")
        omega = goniometer.create_dataset("omega", data=start)
        omega.attrs["units"] = "degree"
        omega.attrs["transformation_type"] = "rotation"
        omega.attrs["vector"] = np.array([1.0, 0.0, 0.0])
        omega.attrs["depends_on"] = "."
        end = goniometer.create_dataset("omega_end", data=start + header.phi_width)
        end.attrs["units"] = "degree"
        _number(goniometer, "omega_range_average", header.phi_width, "degree")
        sample["depends_on"] = "/entry/sample/goniometer/omega"


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _number(group: h5py.Group, name: str, value: float | None, units: str = "") -> None:
    if value is None:
        return
    group[name] = float(value)
    if units:
        group[name].attrs["units"] = units


def _metres(millimetres: float | None) -> float | None:
    return None if millimetres is None else millimetres / 1000
