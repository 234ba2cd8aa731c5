"""One crystal in one beam: what is needed to place every pixel in reciprocal space."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment.beam import Beam
from unstill.experiment.detector import Detector
from unstill.experiment.goniometer import Goniometer
from unstill.experiment.images import ImageSet
from unstill.experiment.lattice import Lattice
from unstill.experiment.scan import Scan
from unstill.shapes import Matrix3


@dataclass(frozen=True, eq=False)
class Experiment:
    """Beam, detector, goniometer, scan, lattice and images of one sweep or still.

    Parameters
    ----------
    beam, detector
        Always there.
    goniometer
        ``None`` for stills.
    scan
        ``None`` for stills: one frame, at angle 0.
    lattice
        ``None`` before indexing and for background sweeps.
    images
        Where the frames are.
    name
        What people call it.
    identifier
        Unique mark that ties it to a table of reflections; empty if there is none.

    Raises
    ------
    InputError
        If there is a scan and no goniometer, or the lattice drifts over another
        number of frames than the scan has.
    """

    beam: Beam
    detector: Detector
    goniometer: Goniometer | None = None
    scan: Scan | None = None
    lattice: Lattice | None = None
    images: ImageSet = field(default_factory=ImageSet)
    name: str = ""
    identifier: str = ""

    def __post_init__(self) -> None:
        if self.scan is not None and self.goniometer is None:
            raise InputError(
                "a scan needs a goniometer", found="none", fix="give its rotation axis"
            )
        points = None if self.lattice is None else self.lattice.a_at_scan_points
        if points is not None and len(points) != self.n_frames + 1:
            raise InputError(
                "the setting matrices at scan points do not match the scan",
                found=f"{len(points)} matrices for {self.n_frames} frames",
                fix="give one at the beginning of each frame and one at the end of the last",
            )

    @property
    def is_still(self) -> bool:
        """Whether this is a single frame of a crystal that does not turn."""
        return self.scan is None or (self.scan.n_frames == 1 and self.scan.phi_width == 0)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return 1 if self.scan is None else self.scan.n_frames

    @property
    def crystal(self) -> Crystal:
        """Unit cell and space group.

        Raises
        ------
        InputError
            If the experiment is not indexed.
        """
        return self.indexed_lattice.crystal

    @property
    def indexed_lattice(self) -> Lattice:
        """The lattice.

        Raises
        ------
        InputError
            If the experiment is not indexed.
        """
        if self.lattice is None:
            raise InputError(
                "the experiment has no crystal",
                found=self.name or "an experiment before indexing",
                fix="index it first: unstill index IMAGES --unit-cell a,b,c,alpha,beta,gamma",
            )
        return self.lattice

    def phi(self, position: float) -> float:
        """Rotation angle (degrees) at a position in frames; 0 for a still."""
        return 0.0 if self.scan is None else float(self.scan.phi(position))

    def setting(self, position: float) -> Matrix3:
        """S R(φ) F A at a position in frames; s (lab, Å⁻¹) = setting @ hkl.

        Raises
        ------
        InputError
            If the experiment is not indexed.
        """
        matrix = self.indexed_lattice.a_at(position)
        if self.goniometer is None:
            return matrix
        turned: np.ndarray = self.goniometer.rotation(self.phi(position)) @ matrix
        return turned

    def hkl_matrix(self, position: float) -> Matrix3:
        """M(φ) = [S R(φ) F A(φ)]⁻¹; hkl = M @ s, with s = s₁ − s₀ in the laboratory frame."""
        return np.linalg.inv(self.setting(position))

    def replace(self, **changes: Any) -> Experiment:
        """Return a copy with some parts changed."""
        return replace(self, **changes)

    def part(self, start: int, stop: int) -> Experiment:
        """Return the experiment of the frames ``start`` to ``stop`` (excluded); images stay."""
        return self.replace(
            scan=None if self.scan is None else self.scan.part(start, stop),
            lattice=None if self.lattice is None else self.lattice.part(start, stop),
        )
