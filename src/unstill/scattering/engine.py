"""From coordinates to structure factors, by the engine that suits the atoms."""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.scattering.backends import Device
from unstill.scattering.form_factors import Table, checked_table
from unstill.scattering.gradients import Gradients
from unstill.scattering.points import Points
from unstill.scattering.scatterers import Scatterers

EngineName = Literal["auto", "nufft", "density", "direct"]


class StructureFactorEngine(Protocol):
    r"""F(H) = Σ_j o_j f_j(s) T_j(s) exp(+2πi H·x_j) for fixed atoms and points.

    T is the Debye–Waller factor of the atom's own B or U. Engines are
    deterministic, use one thread and can be pickled.
    """

    points: Points
    scatterers: Scatterers
    tolerance: float
    name: str

    @property
    def n_points(self) -> int:
        """Number of points."""

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""

    def structure_factors(self, frac: Any) -> Any:
        """Structure factors of one frame.

        Parameters
        ----------
        frac
            ``(n_atoms, 3)`` fractional coordinates in the cell of the points;
            any lattice translation of an atom gives the same F.

        Returns
        -------
        array
            ``(n_points,)`` complex, in the unit of the form factors; single
            precision where the tolerance allows. On a GPU if ``frac`` is.

        Raises
        ------
        InputError
            If the coordinates do not fit the atoms or are not finite.
        """

    def adjoint(self, frac: Any, cotangent: Any) -> Gradients:
        r"""Gradient of a real loss L(F) to coordinates, occupancies and B.

        Parameters
        ----------
        frac
            ``(n_atoms, 3)`` fractional coordinates.
        cotangent
            ``(n_points,)`` complex g = ∂L/∂Re F + i ∂L/∂Im F, so that
            :math:`dL = \mathrm{Re} \sum_H \overline{g_H}\, dF_H`. For
            L = Σ w|F|²/2 it is w F.

        Returns
        -------
        Gradients
            ``coord`` is Cartesian, per Å.
        """


def make_engine(
    crystal_p1: Crystal,
    index: np.ndarray,
    scatterers: Scatterers,
    *,
    engine: EngineName = "auto",
    table: Table = "xray",
    tolerance: float = 1e-4,
    energy: float | None = None,
    device: Device = "cpu",
) -> StructureFactorEngine:
    """Engine for the structure factors of these atoms at these points.

    Parameters
    ----------
    crystal_p1
        The cell that holds all atoms (the supercell), in P 1.
    index
        ``(n_points, 3)`` integer Miller indices of that cell.
    scatterers
        Elements, occupancies, displacements.
    engine
        ``"nufft"``: low-rank non-uniform FFT, isotropic atoms. ``"density"``:
        anisotropic Gaussians on a grid, FFT. ``"direct"``: the plain sum, slow,
        the oracle. ``"auto"``: density if any atom has a displacement tensor,
        else nufft.
    table
        ``"xray"`` (F in electrons), ``"electron"`` (Å) or ``"neutron"`` (fm).
    tolerance
        Root mean square error of F allowed, relative to root mean square F;
        gradients err by at most a few times as much. Sets rank, transform,
        grid and precision; at 1e-6 and below all work is in double precision.
    energy
        Photon energy (eV) for anomalous dispersion f' + if''. F(−H) is not
        conj(F(H)) then, so one half of reciprocal space does not stand for
        the other.
    device
        ``"gpu"`` runs the nufft engine on a CUDA device (extra ``gpu``).

    Raises
    ------
    InputError
        If an element is unknown, a shape does not fit, or the engine cannot
        treat these atoms.
    MissingExtraError
        If ``device="gpu"`` without ``unstill[gpu]``.

    Examples
    --------
    >>> from unstill.crystal import Crystal
    >>> crystal = Crystal((10.0, 10.0, 10.0, 90.0, 90.0, 90.0))
    >>> atoms = Scatterers(element=["C", "O"])
    >>> engine = make_engine(crystal, np.array([[0, 0, 0]]), atoms)
    >>> f = engine.structure_factors(np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]))
    >>> float(f[0].real.round(2))
    14.0
    """
    table = checked_table(table)
    if not (1e-14 <= tolerance <= 0.1):
        raise InputError(
            "the tolerance is out of range", found=tolerance, fix="give one from 1e-14 to 0.1"
        )
    if engine not in get_args(EngineName):
        raise InputError(
            "unknown engine",
            found=repr(engine),
            fix=f"choose from {', '.join(get_args(EngineName))}",
        )
    points = Points(crystal_p1, index)
    if engine == "auto":
        engine = "density" if scatterers.anisotropic.any() else "nufft"
    if engine != "nufft" and device != "cpu":
        raise InputError(
            f"the {engine} engine runs on the processor only",
            found=f"device {device!r}",
            fix="use device='cpu', or isotropic atoms with engine='nufft'",
        )
    return _make(engine, points, scatterers, table, energy, tolerance, device)


def _make(
    engine: str,
    points: Points,
    scatterers: Scatterers,
    table: Table,
    energy: float | None,
    tolerance: float,
    device: str,
) -> StructureFactorEngine:
    # Imported here, not above: numba takes a second to load, and most runs need one engine.
    if engine == "nufft":
        from unstill.scattering.nufft import NufftEngine

        return NufftEngine.make(
            points, scatterers, table=table, energy=energy, tolerance=tolerance, device=device
        )
    if engine == "density":
        from unstill.scattering.density import DensityEngine

        return DensityEngine.make(
            points, scatterers, table=table, energy=energy, tolerance=tolerance
        )
    from unstill.scattering.direct import DirectEngine

    return DirectEngine(points, scatterers, table=table, energy=energy)
