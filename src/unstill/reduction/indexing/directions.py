"""Short direct-lattice vectors from the periodicity of spots along directions.

A lattice vector t of the crystal makes t·r an integer for every reciprocal
lattice point r. Projected on the direction of t, the spots are therefore
periodic with frequency |t|, which a Fourier transform shows.

References
----------
Steller, Bolotovsky & Rossmann (1997), doi:10.1107/S0021889897008777;
Gildea et al. (2014), doi:10.1107/S1399004714017039.
"""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel


def lattice_vectors(
    points: np.ndarray,
    lengths: tuple[float, float],
    *,
    n_directions: int = 10_000,
    n_vectors: int = 40,
) -> tuple[np.ndarray, np.ndarray]:
    """Direct vectors t for which t·r is nearly an integer for many spots.

    Parameters
    ----------
    points
        ``(n, 3)`` reciprocal vectors of the spots in the frame of the crystal (Å⁻¹).
    lengths
        Shortest and longest vector looked for (Å).
    n_directions
        Directions on the half sphere.
    n_vectors
        Vectors to return at most.

    Returns
    -------
    vectors, scores
        ``(m, 3)`` Å, best first, and ``(m,)`` the modulus of the mean of exp 2πi t·r, which is 1
        for a perfect lattice.
    """
    directions = half_sphere(n_directions)
    size = float(np.linalg.norm(points, axis=1).max())
    # Two samples for the shortest period that is looked for.
    n_bins = int(2 ** np.ceil(np.log2(max(4 * size * lengths[1], 64))))
    step = 2 * size / n_bins
    longest = min(n_bins // 2, int(lengths[1] * n_bins * step) + 1)
    shortest = max(1, int(lengths[0] * n_bins * step))
    found, power = _periods(points, directions, size, n_bins, shortest, longest)
    starts = directions * (found / (n_bins * step))[:, None]
    best = np.argsort(-power, kind="stable")[: max(20 * n_vectors, 400)]
    vectors, scores = climb(points, starts[best])
    length = np.linalg.norm(vectors, axis=1)
    inside = (length > 0.9 * lengths[0]) & (length < 1.1 * lengths[1])
    return distinct(vectors[inside], scores[inside], n_vectors)


def vectors_of_length(
    points: np.ndarray, length: float, *, tolerance: float = 0.03, n_vectors: int = 30
) -> tuple[np.ndarray, np.ndarray]:
    """Direct vectors of one known length; arguments and result as :func:`lattice_vectors`.

    Spots of low resolution alone are used until directions are close enough to
    each other that no maximum can be missed.
    """
    size = np.linalg.norm(points, axis=1)
    order = np.argsort(size, kind="stable")
    enough = min(len(points), 300)
    reach = float(size[order[enough - 1]])
    # Half the width of a maximum is about a third of a radian of phase.
    angle = np.clip(0.3 / (length * reach), 0.004, 0.06)
    directions = half_sphere(int(2 * np.pi / angle**2) + 1)
    chosen = points[order[:enough]]
    starts = np.concatenate(
        [directions * length * (1 + share) for share in (-tolerance / 2, 0.0, tolerance / 2)]
    )
    values = _coherence(chosen, starts)
    best = np.argsort(-values, kind="stable")[: 10 * n_vectors]
    vectors, _ = climb(chosen, starts[best])
    vectors, scores = climb(points[order[: 4 * enough]], vectors)
    close = np.abs(np.linalg.norm(vectors, axis=1) / length - 1) < tolerance
    return distinct(vectors[close], scores[close], n_vectors)


def half_sphere(n: int) -> np.ndarray:
    """``(n, 3)`` unit vectors spread evenly over a half sphere (a Fibonacci spiral)."""
    i = np.arange(n) + 0.5
    z = 1 - i / n
    angle = np.pi * (1 + np.sqrt(5)) * i
    flat = np.sqrt(1 - z * z)
    points: np.ndarray = np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=1)
    return points


def climb(
    points: np.ndarray, vectors: np.ndarray, *, n_steps: int = 15
) -> tuple[np.ndarray, np.ndarray]:
    """Move vectors to the next maximum of the modulus of the mean of exp 2πi t·r.

    A wrong beam centre moves all spots of a narrow wedge alike, so the phase of
    the mean is free. Iterated least squares on the distance d of t·r from the
    nearest integer plus a constant, each spot with the weight (½ + ½ cos 2πd)²,
    so that spots of another lattice do not pull.
    """
    moved = np.array(vectors, dtype=float)
    _climb(np.ascontiguousarray(points), moved, n_steps)
    return moved, _coherence(points, moved)


def distinct(
    vectors: np.ndarray, scores: np.ndarray, n_vectors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Best of each group of vectors that are equal up to their sign."""
    kept: list[int] = []
    for k in np.argsort(-scores, kind="stable"):
        vector = vectors[k]
        close = 0.02 * np.linalg.norm(vector)
        near = (
            min(np.linalg.norm(vectors[other] - vector), np.linalg.norm(vectors[other] + vector))
            < close
            for other in kept
        )
        if not any(near):
            kept.append(int(k))
        if len(kept) == n_vectors:
            break
    return vectors[kept], scores[kept]


def _periods(
    points: np.ndarray,
    directions: np.ndarray,
    size: float,
    n_bins: int,
    shortest: int,
    longest: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Strongest frequency of the projections on each direction, and its amplitude."""
    found = np.empty(len(directions))
    power = np.empty(len(directions))
    for start in range(0, len(directions), 500):
        part = directions[start : start + 500]
        bins = np.clip(((points @ part.T) / size + 1) / 2 * n_bins, 0, n_bins - 1).astype(int)
        flat = bins + np.arange(len(part)) * n_bins
        counts = np.bincount(flat.ravel(), minlength=n_bins * len(part))
        spectrum = np.abs(np.fft.rfft(counts.reshape(len(part), n_bins), axis=1))
        window = spectrum[:, shortest : longest + 1]
        at = np.argmax(window, axis=1)
        found[start : start + 500] = at + shortest
        power[start : start + 500] = window[np.arange(len(part)), at]
    return found, power


@kernel
def _climb(points, vectors, n_steps):  # type: ignore[no-untyped-def]
    n = len(points)
    phase = np.empty(n)
    for k in range(len(vectors)):
        for _ in range(n_steps):
            cosine, sine = 0.0, 0.0
            for i in range(n):
                phase[i] = (
                    points[i, 0] * vectors[k, 0]
                    + points[i, 1] * vectors[k, 1]
                    + points[i, 2] * vectors[k, 2]
                )
                cosine += np.cos(2 * np.pi * phase[i])
                sine += np.sin(2 * np.pi * phase[i])
            constant = np.arctan2(sine, cosine) / (2 * np.pi)
            # Weighted sums of 1, r, r rᵀ, d and r d.
            total, off_total = 0.0, 0.0
            mean, pull = np.zeros(3), np.zeros(3)
            normal = np.zeros((3, 3))
            for i in range(n):
                value = phase[i] - constant
                off = value - np.rint(value)
                weight = (0.5 + 0.5 * np.cos(2 * np.pi * off)) ** 2
                total += weight
                off_total += weight * off
                for a in range(3):
                    mean[a] += weight * points[i, a]
                    pull[a] += weight * points[i, a] * off
                    for b in range(3):
                        normal[a, b] += weight * points[i, a] * points[i, b]
            for a in range(3):
                pull[a] -= mean[a] * off_total / total
                for b in range(3):
                    normal[a, b] -= mean[a] * mean[b] / total
            # Without spots along a direction the vector stays as it is there.
            trace = normal[0, 0] + normal[1, 1] + normal[2, 2]
            for a in range(3):
                normal[a, a] += 1e-6 * trace + 1e-300
            step = np.linalg.solve(normal, pull)
            vectors[k] -= step
            if np.abs(step).max() < 1e-3:
                break


@kernel
def _coherence(points, vectors):  # type: ignore[no-untyped-def]
    result = np.empty(len(vectors))
    for k in range(len(vectors)):
        cosine, sine = 0.0, 0.0
        for i in range(len(points)):
            phase = (
                points[i, 0] * vectors[k, 0]
                + points[i, 1] * vectors[k, 1]
                + points[i, 2] * vectors[k, 2]
            )
            cosine += np.cos(2 * np.pi * phase)
            sine += np.sin(2 * np.pi * phase)
        result[k] = np.hypot(cosine, sine) / len(points)
    return result
