r"""The transform of a crystal, blurred by the kernel of an exponential correlation."""

from __future__ import annotations

from copy import copy

import numpy as np
from scipy import fft

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.hkl_grid import Triple
from unstill.disorder.lattice_sum import lattice_sum
from unstill.disorder.transform import ModelAtoms
from unstill.parallel import cpu_count
from unstill.shapes import Float, Integer


class BlurredTransform:
    r"""[|F|² ∗ Γ] at the points of a map, order by order, by FFT.

    The kernel is sampled on the grid of the map, where Bragg points are every
    n-th voxel, and the convolution is a product in real space: the Patterson
    function times the exponential made periodic over the supercell of the
    map's divisions. That is exact for the sum over the Bragg points inside the
    margin, up to distances of half the box, where the kernel wraps around.

    The interference |F|² − Σf² is folded after division by the mean square
    form factor; each atom with its own translates enters in closed form,
    :math:`\sum_T e^{-n|T|/\gamma} \cos 2\pi hT`.

    Parameters
    ----------
    atoms
        Average structure.
    index, divisions
        ``(n_points, 3)`` grid indices; hkl = index / divisions.
    d_transform
        Limit of the transform (Å), at or beyond the points.
    origin
        Whether F(000) takes part.
    """

    def __init__(
        self,
        atoms: ModelAtoms,
        index: Integer[np.ndarray, "points 3"],
        divisions: Triple,
        *,
        d_transform: float,
        origin: bool,
    ) -> None:
        crystal = atoms.crystal
        s_squared = crystal.s_squared(index / np.array(divisions))
        bragg = friedel_half(crystal, d_transform)
        shape = box_shape(bragg * np.array(divisions), index)
        box = np.zeros(shape)
        interference = sharpened_interference(atoms, bragg, origin=origin)
        fill_both_halves(box, bragg * np.array(divisions), interference)
        self._crystal, self._divisions, self._shape = crystal, divisions, shape
        # Centrosymmetric and real, so its transform is real too.
        self._patterson = np.ascontiguousarray(fft.rfftn(box, workers=cpu_count()).real)
        self._q_squared = _wrapped_q_squared(crystal, divisions, shape)
        self._places = np.ravel_multi_index(tuple((index % np.array(shape)).T), shape)
        self._self = atoms.self_scattering(s_squared)
        self._sharpness = self._self / atoms.self_scattering(np.zeros(1))[0]
        # Lattice sums depend on the fractional part of h only.
        residues, self._residue = np.unique(
            index % np.array(divisions), axis=0, return_inverse=True
        )
        self._residue = self._residue.ravel()
        self._residue_hkl = residues / np.array(divisions)
        self._distance = real_space_distances(crystal, divisions, shape)
        # Half the shortest period: the first place where an image is as near as the original.
        self._n_cells = float(np.prod(divisions))
        self._reach = 0.5 / float(np.linalg.norm(_widths(crystal, divisions), ord=np.inf))

    def values(self, gamma: float, n_orders: int) -> Float[np.ndarray, "orders points"]:
        """[|F|² ∗ Γ] with γ/n for n = 1 … N (e² per cell)."""
        return np.array([self._value(gamma / n) for n in range(1, n_orders + 1)])

    def with_slopes(
        self, gamma: float, n_orders: int
    ) -> tuple[Float[np.ndarray, "orders points"], Float[np.ndarray, "orders points"]]:
        """Return the values and their derivatives to γ."""
        slopes = np.array([self._slope(gamma / n) / n for n in range(1, n_orders + 1)])
        return self.values(gamma, n_orders), slopes

    def _value(self, length: float) -> np.ndarray:
        own, _ = lattice_sum(self._crystal, self._residue_hkl, length)
        folded = self._sharpness * self._back(self._decay(length))
        value: np.ndarray = folded + self._self * own[self._residue]
        return value

    def _slope(self, length: float) -> np.ndarray:
        _, own_slope = lattice_sum(self._crystal, self._residue_hkl, length)
        folded = self._sharpness * self._back(self._decay_slope(length))
        slope: np.ndarray = folded + self._self * own_slope[self._residue]
        return slope

    def _decay(self, length: float) -> np.ndarray:
        """Periodic e^{−r/L} on the grid of real space, times the cells of the supercell."""
        if self._is_short(length):
            return self._n_cells * np.exp(-self._distance / length)
        return self._to_real_space(self._kernel(length)[0])

    def _decay_slope(self, length: float) -> np.ndarray:
        if self._is_short(length):
            slope: np.ndarray = self._decay(length) * self._distance / length**2
            return slope
        kernel, spread = self._kernel(length)
        return self._to_real_space(kernel * (4 * spread - 1) / length)

    def _is_short(self, length: float) -> bool:
        # Images add less than e⁻⁶, at the border only: the nearest one is all there is.
        return self._reach > 6 * length

    def _kernel(self, length: float) -> tuple[np.ndarray, np.ndarray]:
        """Γ = 8πL³/(1 + L²q²)² per unit cell, and 1/(1 + L²q²)."""
        spread = 1 / (1 + length**2 * self._q_squared)
        kernel = (8 * np.pi * length**3 / self._crystal.volume) * spread**2
        return kernel, spread

    def _to_real_space(self, kernel: np.ndarray) -> np.ndarray:
        real: np.ndarray = fft.rfftn(kernel, workers=cpu_count()).real
        return real

    def at(self, numbers: Integer[np.ndarray, " chosen"]) -> BlurredTransform:
        """Return the same for some of the points."""
        some = copy(self)
        some._places = self._places[numbers]
        some._self = self._self[numbers]
        some._sharpness = self._sharpness[numbers]
        some._residue = self._residue[numbers]
        return some

    def _back(self, decay: np.ndarray) -> np.ndarray:
        folded = fft.irfftn(self._patterson * decay, s=self._shape, workers=cpu_count())
        at_points: np.ndarray = folded.ravel()[self._places]
        return at_points


def sharpened_interference(
    atoms: ModelAtoms, bragg: Integer[np.ndarray, "points 3"], *, origin: bool
) -> Float[np.ndarray, " points"]:
    """(|F|² − Σf²) / (Σf² / Σf(0)²) of the average crystal at Bragg points."""
    own = atoms.self_scattering(atoms.crystal.s_squared(bragg))
    at_zero = atoms.self_scattering(np.zeros(1))[0]
    interference: np.ndarray = (np.abs(atoms.cell_transform(bragg)) ** 2 - own) * at_zero / own
    if not origin:
        interference[np.all(bragg == 0, axis=1)] = 0.0
    return interference


def box_shape(
    source: Integer[np.ndarray, "sources 3"], target: Integer[np.ndarray, "points 3"]
) -> Triple:
    """Box of an FFT that holds source and target without overlap of opposite edges."""
    half = np.maximum(np.abs(source).max(axis=0), np.abs(target).max(axis=0))
    h, k, l = (int(fft.next_fast_len(int(2 * n + 1), real=True)) for n in half)
    return h, k, l


def fill_both_halves(
    box: np.ndarray, index: Integer[np.ndarray, "points 3"], values: Float[np.ndarray, " points"]
) -> None:
    """Put values of one Friedel half, and their mates, into a box with the origin first."""
    for sign in (1, -1):
        i, j, k = ((sign * index) % np.array(box.shape)).T
        box[i, j, k] = values


def _wrapped_q_squared(crystal: Crystal, divisions: Triple, shape: Triple) -> np.ndarray:
    """|q|² of the difference of two voxels, as an FFT of this shape counts it."""
    frequencies = [
        fft.fftfreq(n, 1 / n) / division for n, division in zip(shape, divisions, strict=True)
    ]
    metric = crystal.fractionalization_matrix @ crystal.fractionalization_matrix.T
    h, k, l = np.meshgrid(*frequencies, indexing="ij", sparse=True)
    squared = metric[0, 0] * h**2 + metric[1, 1] * k**2 + metric[2, 2] * l**2
    squared = squared + 2 * (metric[0, 1] * h * k + metric[0, 2] * h * l + metric[1, 2] * k * l)
    q_squared: np.ndarray = 4 * np.pi**2 * squared
    return q_squared


def real_space_distances(
    crystal: Crystal, divisions: Triple, shape: Triple, *, whole: bool = False
) -> Float[np.ndarray, "x y z"]:
    """Length |r| (Å) of the vectors of real space, in the half that rfftn returns or whole."""
    h, k, l = (float(n) for n in divisions)
    axes = (
        fft.fftfreq(shape[0]) * h,
        fft.fftfreq(shape[1]) * k,
        (fft.fftfreq if whole else fft.rfftfreq)(shape[2]) * l,
    )
    frac = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    distance: np.ndarray = np.linalg.norm(crystal.cartesian(frac), axis=-1)
    return distance


def _widths(crystal: Crystal, divisions: Triple) -> np.ndarray:
    """Inverse distance between opposite faces of the supercell, along each axis (Å⁻¹)."""
    inverse: np.ndarray = np.linalg.norm(crystal.fractionalization_matrix, axis=1) / divisions
    return inverse
