"""A truth in closed form, with the exact Laue symmetry of the crystal."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product

import gemmi
import numpy as np

from unstill.compiled import kernel
from unstill.crystal import Crystal
from unstill.crystal.symmetry import check_metric, laue_operations
from unstill.errors import InputError
from unstill.shapes import Float, Hkl

_POWERS = tuple((i, j, 4 - i - j) for i, j in product(range(5), range(5)) if i + j <= 4)
"""Of h, k, l in a form of degree four."""

_BLOCK = 512


@dataclass(frozen=True)
class AnalyticTruth:
    r"""A smooth molecular part times halos around the Bragg peaks, and a ring.

    .. math::
        I(h) = A\, r(s)\, \bigl(1 + α\, q(h)/s^4 + β\, w(h)\bigr)
               \Bigl(1 + γ \frac{ε^2}{D(h) + ε^2}\Bigr)
               + A\, ρ\, e^{-(s - 0.3)^2 / (2 · 0.06^2)}

    with r = (1 − exp(−(s/0.1)²)) exp(−B s²/2); q a form of degree four and w a
    mean of cosines cos 2π h·x, both averaged over the Laue group; and the
    lattice sum D = Σ (1 − cos 2π h·n)/2π² over the shortest lattice vectors n
    and their mates: near a Bragg peak D is the square of the distance to it in
    reciprocal-lattice units, as in acoustic waves. I is smooth away from the
    origin, positive, and has the Laue symmetry exactly, in every space group.

    Parameters
    ----------
    crystal
        Unit cell and space group.
    scale
        A (e² per unit cell); by default 0.2 e²/Å³ times the volume of the cell,
        about what a protein crystal has.
    b_factor
        B of the fall with resolution (Å²).
    anisotropy, modulation
        α and β; their sum stays below 1.
    correlation_length
        Length of x (Å): features of the modulation are 1/x wide.
    halo, halo_width
        γ, and ε in reciprocal-lattice units.
    isotropic
        ρ, the height of the ring.
    seed
        Of the directions in q and w.

    Raises
    ------
    InputError
        If the intensity could become negative, or the cell does not have the symmetry.
    """

    crystal: Crystal
    scale: float | None = None
    b_factor: float = 15.0
    anisotropy: float = 0.3
    modulation: float = 0.3
    correlation_length: float = 8.0
    halo: float = 3.0
    halo_width: float = 0.15
    isotropic: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        check_metric(self.crystal)
        if self.scale is None:
            object.__setattr__(self, "scale", 0.2 * self.crystal.volume)
        if abs(self.anisotropy) + abs(self.modulation) >= 1 or self.halo < 0:
            raise InputError(
                "the truth would be negative somewhere",
                found=f"anisotropy {self.anisotropy}, modulation {self.modulation}, "
                f"halo {self.halo}",
                fix="keep |anisotropy| + |modulation| below 1 and the halo positive",
            )

    def at(self, hkl: Hkl) -> Float[np.ndarray, "*points"]:
        """Return the intensity at fractional Miller coordinates (numpy, not the kernel)."""
        hkl = np.asarray(hkl, dtype=float)
        s_squared = self.crystal.s_squared(hkl)
        s = np.sqrt(s_squared)
        quartic = sum(
            c * hkl[..., 0] ** i * hkl[..., 1] ** j * hkl[..., 2] ** l
            for c, (i, j, l) in zip(self.quartic, _POWERS, strict=True)
        )
        angular = quartic / np.maximum(s_squared, 1e-12) ** 2
        cosines = np.cos(2 * np.pi * hkl @ self.waves.T).mean(axis=-1)
        distance = (1 - np.cos(2 * np.pi * hkl @ self.neighbours.T)).sum(axis=-1)
        distance = distance / (2 * np.pi**2)
        radial = -np.expm1(-s_squared / 0.01) * np.exp(-self.b_factor * s_squared / 2)
        molecular = radial * (1 + self.anisotropy * angular + self.modulation * cosines)
        halos = 1 + self.halo * self.halo_width**2 / (distance + self.halo_width**2)
        ring = self.isotropic * np.exp(-((s - 0.3) ** 2) / (2 * 0.06**2))
        intensity: np.ndarray = float(self.scale or 0) * (molecular * halos + ring)
        return intensity

    def add(
        self,
        out: Float[np.ndarray, " n"],
        s: Float[np.ndarray, "n 3"],
        hkl_matrix: Float[np.ndarray, "3 3"],
        weight: float,
    ) -> None:
        """Add weight · I(M s) to ``out``."""
        numbers = np.array(
            [
                weight * float(self.scale or 0),
                self.b_factor,
                self.anisotropy,
                self.modulation,
                self.halo,
                self.halo_width,
                self.isotropic,
            ]
        )
        _add_analytic(
            out, s, np.ascontiguousarray(hkl_matrix), self._metric,
            self.quartic, self.waves, self.neighbours, numbers,
        )  # fmt: skip

    @cached_property
    def quartic(self) -> Float[np.ndarray, "15"]:
        """Coefficients of the form of degree four, between −1 and 1 on the unit sphere."""
        rng = np.random.default_rng([self.seed, 1])
        axes = rng.normal(size=(3, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        heights = rng.uniform(0.5, 1.0, 3) * np.array([1.0, -1.0, 1.0])
        coefficients = np.zeros(len(_POWERS))
        for operation in laue_operations(self.crystal):
            for axis, height in zip(axes, heights, strict=True):
                coefficients += height * _fourth_power(
                    operation @ self.crystal.fractionalization_matrix @ axis
                )
        return self._centred(coefficients)

    def _centred(self, coefficients: np.ndarray) -> np.ndarray:
        """Take off a multiple of s⁴ and divide, so that the form is at most 1 on the sphere."""
        directions = np.random.default_rng(0).normal(size=(4000, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        hkl = directions @ self.crystal.orthogonalization_matrix
        monomials = np.stack(
            [hkl[:, 0] ** i * hkl[:, 1] ** j * hkl[:, 2] ** l for i, j, l in _POWERS], axis=1
        )
        values = monomials @ coefficients
        low, high = float(values.min()), float(values.max())
        if high - low < 1e-9 * abs(high):
            return np.zeros(len(_POWERS))
        centred: np.ndarray = coefficients - (low + high) / 2 * _square_of(self._metric)
        return centred * (2 / 1.02 / (high - low))

    @cached_property
    def waves(self) -> Float[np.ndarray, "waves 3"]:
        """Real-space vectors x (fractional), all Laue mates of one up to the sign."""
        rng = np.random.default_rng([self.seed, 2])
        direction = rng.normal(size=3)
        direction *= self.correlation_length / np.linalg.norm(direction)
        frac = self.crystal.fractionalization_matrix @ direction
        return _one_of_each_pair(laue_operations(self.crystal) @ frac)

    @cached_property
    def neighbours(self) -> Float[np.ndarray, "neighbours 3"]:
        """Lattice vectors n: the axes, the centring vectors and their mates, up to the sign."""
        centring = [
            np.array(shift) / gemmi.Op.DEN for shift in self.crystal.group.operations().cen_ops
        ]
        starts = [*np.eye(3), *(shift - np.rint(shift - 1e-9) for shift in centring if any(shift))]
        mates = [laue_operations(self.crystal) @ start for start in starts]
        return _one_of_each_pair(np.concatenate(mates))

    @cached_property
    def _metric(self) -> np.ndarray:
        matrix = self.crystal.fractionalization_matrix
        metric: np.ndarray = matrix @ matrix.T
        return metric

    def as_dict(self) -> dict[str, object]:
        """All parameters, for the record."""
        return {"kind": "analytic", **asdict(self)}


def _fourth_power(v: np.ndarray) -> np.ndarray:
    """Coefficients of (h · v)⁴."""
    f = math.factorial
    return np.array(
        [24 / (f(i) * f(j) * f(l)) * v[0] ** i * v[1] ** j * v[2] ** l for i, j, l in _POWERS]
    )


def _square_of(metric: np.ndarray) -> np.ndarray:
    """Coefficients of (h · G h)² = s⁴."""
    coefficients = np.zeros(len(_POWERS))
    for a, b, c, d in product(range(3), repeat=4):
        powers = tuple((a, b, c, d).count(axis) for axis in range(3))
        coefficients[_POWERS.index(powers)] += metric[a, b] * metric[c, d]
    return coefficients


def _one_of_each_pair(vectors: np.ndarray) -> np.ndarray:
    """Distinct vectors, of v and −v only one."""
    kept: dict[tuple[float, ...], np.ndarray] = {}
    for vector in vectors:
        key = tuple(float(value) for value in np.round(vector, 9) + 0.0)
        opposite = tuple(-value + 0.0 for value in key)
        if key not in kept and opposite not in kept:
            kept[key] = vector
    return np.array(list(kept.values()))


@kernel
def _add_analytic(
    out: np.ndarray,
    s: np.ndarray,
    matrix: np.ndarray,
    metric: np.ndarray,
    quartic: np.ndarray,
    waves: np.ndarray,
    neighbours: np.ndarray,
    numbers: np.ndarray,
) -> None:
    scale, b_factor, anisotropy, modulation, halo, width, isotropic = numbers
    # Loops over few points at a time, without branches: the compiler makes vectors of them.
    hkl = np.empty((3, _BLOCK))
    cosines, distance = np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, len(out), _BLOCK):
        size = min(_BLOCK, len(out) - start)
        h, k, l = hkl[0, :size], hkl[1, :size], hkl[2, :size]
        for n in range(size):
            x, y, z = s[start + n, 0], s[start + n, 1], s[start + n, 2]
            h[n] = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z
            k[n] = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z
            l[n] = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z
        _sum_of_sines(cosines, h, k, l, waves)
        _sum_of_sines(distance, h, k, l, neighbours)
        for n in range(size):
            s2 = (
                metric[0, 0] * h[n] * h[n]
                + metric[1, 1] * k[n] * k[n]
                + metric[2, 2] * l[n] * l[n]
                + 2 * (metric[0, 1] * h[n] * k[n] + metric[0, 2] * h[n] * l[n])
                + 2 * metric[1, 2] * k[n] * l[n]
            )
            angular = _form(h[n], k[n], l[n], quartic) / max(s2 * s2, 1e-24)
            # cos 2x = 1 − 2 sin² x
            wave = 1 - 2 * cosines[n] / len(waves)
            near = distance[n] / (math.pi * math.pi)
            radial = -math.expm1(-s2 / 0.01) * math.exp(-b_factor * s2 / 2)
            molecular = radial * (1 + anisotropy * angular + modulation * wave)
            halos = 1 + halo * width * width / (near + width * width)
            off = math.sqrt(s2) - 0.3
            ring = isotropic * math.exp(-off * off / 0.0072)
            out[start + n] += scale * (molecular * halos + ring)


@kernel
def _sum_of_sines(
    out: np.ndarray, h: np.ndarray, k: np.ndarray, l: np.ndarray, vectors: np.ndarray
) -> None:
    """Σ sin²(π h·x) over the vectors; the sine by its series, to 1e-13."""
    for n in range(len(h)):
        out[n] = 0.0
    for i in range(len(vectors)):
        a, b, c = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        for n in range(len(h)):
            x = h[n] * a + k[n] * b + l[n] * c
            x = math.pi * (x - math.floor(x + 0.5))
            y = x * x
            sine = 1 - y * (1 / 272)
            sine = 1 - y * (1 / 210) * sine
            sine = 1 - y * (1 / 156) * sine
            sine = 1 - y * (1 / 110) * sine
            sine = 1 - y * (1 / 72) * sine
            sine = 1 - y * (1 / 42) * sine
            sine = 1 - y * (1 / 20) * sine
            sine = 1 - y * (1 / 6) * sine
            out[n] += y * sine * sine


@kernel
def _form(h: float, k: float, l: float, c: np.ndarray) -> float:
    """Form of degree four by Horner's rule; the coefficients are in the order of _POWERS."""
    p0 = l * (l * (l * (l * c[0] + k * c[1]) + k * k * c[2]) + k * k * k * c[3])
    p1 = l * (l * (l * c[5] + k * c[6]) + k * k * c[7]) + k * k * k * c[8]
    p2 = l * (l * c[9] + k * c[10]) + k * k * c[11]
    p3 = l * c[12] + k * c[13]
    total: float = p0 + k * k * k * k * c[4] + h * (p1 + h * (p2 + h * (p3 + h * c[14])))
    return total
