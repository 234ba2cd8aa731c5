"""Setting matrices that explain many spots, with the unit cell known or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.compiled import kernel
from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment.lattice import cell_of, nearest_rotation
from unstill.reduction.indexing.directions import lattice_vectors, vectors_of_length

TOLERANCE = 0.25
"""Distance of each Miller coordinate from an integer that counts as indexed in a search."""

_MAX_POINTS = 1500
_MAX_ANGLE_ERROR = 2.5


@dataclass(frozen=True, eq=False)
class FoundLattice:
    """A setting matrix and how well it explains the spots.

    Parameters
    ----------
    a_matrix
        ``(3, 3)`` reciprocal axes as columns (Å⁻¹), in the frame of the crystal.
    share
        Of the points that it indexes.
    """

    a_matrix: np.ndarray
    share: float

    @property
    def unit_cell(self) -> tuple[float, float, float, float, float, float]:
        """Å and degrees."""
        return cell_of(np.linalg.inv(self.a_matrix))


def search_known_cell(
    points: np.ndarray, crystal: Crystal, *, n_best: int = 5
) -> list[FoundLattice]:
    """Orientations of a known unit cell that index most points, best first.

    Vectors of the lengths of the three axes are looked for; each pair that
    encloses the right angle gives an orientation.

    Parameters
    ----------
    points
        ``(n, 3)`` reciprocal vectors of the spots in the frame of the crystal (Å⁻¹).
    crystal
        The unit cell.
    n_best
        Orientations to return at most.
    """
    points = low_resolution(points, _MAX_POINTS)
    axes = crystal.orthogonalization_matrix.T  # rows a, b, c in the crystal's own frame
    found = _vectors_of_axes(points, crystal)
    rotations = []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        rotations += _aligned(axes[[first, second]], found[first], found[second])
    if not rotations:
        return []
    matrices = np.array([u @ crystal.fractionalization_matrix.T for u in rotations])
    return _best(points, matrices, n_best)


def search_unknown_cell(
    points: np.ndarray, *, max_cell: float, min_cell: float = 8.0, n_best: int = 5
) -> list[FoundLattice]:
    """Primitive reduced lattices that index most points, the smallest cell of the best first.

    Parameters
    ----------
    points
        ``(n, 3)`` reciprocal vectors of the spots in the frame of the crystal (Å⁻¹).
    max_cell, min_cell
        Longest and shortest axis looked for (Å).
    n_best
        Lattices to return at most.

    Raises
    ------
    InputError
        If the longest axis is not at least twice the shortest.
    """
    if max_cell < 2 * min_cell:
        raise InputError(
            "the longest axis to look for is too short",
            found=f"--max-cell {max_cell:g} Å; axes from {min_cell:g} Å are looked for",
            fix=f"give at least {2 * min_cell:g} Å",
        )
    points = low_resolution(points, _MAX_POINTS)
    vectors, scores = lattice_vectors(points, (min_cell, max_cell))
    if len(vectors) < 3:
        return []
    good = scores > 0.4 * scores[0]
    vectors = vectors[good]
    bases = _triples(vectors)
    if not len(bases):
        return []
    shares = _indexed(points, np.linalg.inv(bases), TOLERANCE, True)
    volume = np.abs(np.linalg.det(bases))
    # A larger cell indexes at least as much: of nearly equal ones the smallest is the lattice.
    order = np.lexsort((volume, shares < 0.93 * shares.max()))
    unique: list[np.ndarray] = []
    for k in order[: 20 * n_best]:
        reduced = reduced_basis(bases[k])
        if not any(_same_basis(reduced, other) for other in unique):
            unique.append(reduced)
        if len(unique) == n_best:
            break
    matrices = np.array([np.linalg.inv(basis) for basis in unique])
    refined = np.array([_refined(points, matrix) for matrix in matrices])
    kept = _indexed(points, refined, TOLERANCE, True)
    return [FoundLattice(m, float(share)) for m, share in zip(refined, kept, strict=True)]


def low_resolution(points: np.ndarray, n: int) -> np.ndarray:
    """Return the ``n`` points nearest to the origin, in their order."""
    if len(points) <= n:
        return points
    size = np.linalg.norm(points, axis=1)
    nearest: np.ndarray = points[np.sort(np.argsort(size, kind="stable")[:n])]
    return nearest


def reduced_basis(basis: np.ndarray) -> np.ndarray:
    """Shortest right-handed basis of a lattice; rows are axes (Å).

    Longer rows are shortened by multiples of the others until nothing changes.
    """
    rows = np.array(basis, dtype=float)
    for _ in range(100):
        rows = rows[np.argsort(np.linalg.norm(rows, axis=1), kind="stable")]
        before = rows.copy()
        rows[1] -= np.rint(rows[1] @ rows[0] / (rows[0] @ rows[0])) * rows[0]
        rows[2] = _shortest_image(rows[2], rows[:2])
        if np.allclose(rows, before, atol=1e-9):
            break
    if np.linalg.det(rows) < 0:
        rows = -rows
    return rows


def turned(points: np.ndarray, matrix: np.ndarray, *, free_origin: bool = False) -> np.ndarray:
    """Turn a setting matrix, without changing the cell, to fit the points that it indexes.

    Parameters
    ----------
    points
        ``(n, 3)`` reciprocal vectors (Å⁻¹).
    matrix
        ``(3, 3)``.
    free_origin
        Whether all points may be off by a constant, as a wrong beam centre makes them.
    """
    for _ in range(5):
        hkl = points @ np.linalg.inv(matrix).T
        if free_origin:
            constant = np.angle(np.exp(2j * np.pi * hkl).sum(axis=0)) / (2 * np.pi)
            hkl = hkl - constant
            points = points - constant @ matrix.T
        nearest = np.rint(hkl)
        inside = np.abs(hkl - nearest).max(axis=1) < TOLERANCE
        if inside.sum() < 5:
            return matrix
        turn = nearest_rotation(points[inside].T @ (nearest[inside] @ matrix.T))
        matrix = turn @ matrix
    return matrix


def close_share(points: np.ndarray, matrix: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Share of points whose Miller coordinates are all within a tolerance of integers."""
    return float(_indexed(points, matrix[None], tolerance, False)[0])


def _shortest_image(vector: np.ndarray, plane: np.ndarray) -> np.ndarray:
    nearest = np.rint(np.linalg.lstsq(plane.T, vector, rcond=None)[0])
    images = [
        vector - (nearest[0] + i) * plane[0] - (nearest[1] + j) * plane[1]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    ]
    # A change must pay: equal lengths would go round in circles.
    best = min(images, key=lambda image: float(np.linalg.norm(image)))
    shorter = np.linalg.norm(best) < np.linalg.norm(vector) - 1e-9
    return best if shorter else vector


def _vectors_of_axes(points: np.ndarray, crystal: Crystal) -> list[np.ndarray]:
    found: dict[float, np.ndarray] = {}
    result = []
    for length in crystal.unit_cell[:3]:
        near = [known for known in found if abs(known / length - 1) < 0.01]
        key = near[0] if near else length
        if not near:
            found[key], _ = vectors_of_length(points, length)
        result.append(found[key])
    return result


def _aligned(axes: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Rotations that take two axes of the cell to pairs of vectors at the right angle."""
    if not len(first) or not len(second):
        return []
    wanted = _angle(axes[0], axes[1])
    reference = _frame(axes[0], axes[1])
    rotations = []
    for u in first:
        for v in second:
            angle = _angle(u, v)
            for sign, found in ((1, angle), (-1, 180 - angle)):
                if abs(found - wanted) < _MAX_ANGLE_ERROR:
                    rotations.append(_frame(u, sign * v) @ reference.T)
                    rotations.append(_frame(-u, -sign * v) @ reference.T)
    return rotations


def _angle(u: np.ndarray, v: np.ndarray) -> float:
    cosine = u @ v / np.sqrt((u @ u) * (v @ v))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _frame(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Orthonormal columns: half way between u and v, across in their plane, normal to both."""
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    columns = np.stack([u + v, u - v, np.cross(u, v)], axis=1)
    frame: np.ndarray = columns / np.linalg.norm(columns, axis=0)
    return frame


def _best(points: np.ndarray, matrices: np.ndarray, n_best: int) -> list[FoundLattice]:
    shares = _indexed(points, matrices, TOLERANCE, True)
    chosen = np.argsort(-shares, kind="stable")[: 8 * n_best]
    improved = [turned(points, matrices[k], free_origin=True) for k in chosen]
    again = _indexed(points, np.array(improved), TOLERANCE, True)
    found: list[FoundLattice] = []
    for k in np.argsort(-again, kind="stable"):
        matrix = improved[k]
        if not any(_same_orientation(matrix, other.a_matrix) for other in found):
            found.append(FoundLattice(matrix, float(again[k])))
        if len(found) == n_best:
            break
    return found


def _refined(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Fit all nine elements of a setting matrix to the points it indexes."""
    for _ in range(5):
        hkl = points @ np.linalg.inv(matrix).T
        nearest = np.rint(hkl)
        inside = np.abs(hkl - nearest).max(axis=1) < TOLERANCE
        if inside.sum() < 12:
            return matrix
        solution, _, rank, _ = np.linalg.lstsq(nearest[inside], points[inside], rcond=None)
        if rank < 3:
            return matrix
        matrix = solution.T
    return matrix


def _triples(vectors: np.ndarray) -> np.ndarray:
    n = len(vectors)
    i, j, k = (index.ravel() for index in np.meshgrid(*(np.arange(n),) * 3, indexing="ij"))
    keep = (i < j) & (j < k)
    bases = vectors[np.stack([i[keep], j[keep], k[keep]], axis=1)]
    product = np.prod(np.linalg.norm(bases, axis=2), axis=1)
    spanning: np.ndarray = bases[np.abs(np.linalg.det(bases)) > 0.15 * product]
    return spanning


def _same_basis(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two bases span the same lattice."""
    change = first @ np.linalg.inv(second)
    whole = np.abs(change - np.rint(change)).max() < 0.1
    return bool(whole and abs(abs(np.linalg.det(change)) - 1) < 0.1)


def _same_orientation(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two setting matrices index the same lattice points, under any indexing."""
    change = np.linalg.inv(second) @ first
    return bool(np.abs(change - np.rint(change)).max() < 0.1)


@kernel
def _indexed(points, inverse_of, tolerance, free_origin):  # type: ignore[no-untyped-def]
    """Share of the points that each setting matrix indexes, their origin free or not."""
    shares = np.empty(len(inverse_of))
    for k in range(len(inverse_of)):
        m = np.linalg.inv(inverse_of[k])
        origin = np.zeros(3)
        for axis in range(3 if free_origin else 0):
            cosine, sine = 0.0, 0.0
            for i in range(len(points)):
                value = 0.0
                for j in range(3):
                    value += m[axis, j] * points[i, j]
                cosine += np.cos(2 * np.pi * value)
                sine += np.sin(2 * np.pi * value)
            origin[axis] = np.arctan2(sine, cosine) / (2 * np.pi)
        n = 0
        for i in range(len(points)):
            good = True
            for axis in range(3):
                value = (
                    m[axis, 0] * points[i, 0]
                    + m[axis, 1] * points[i, 1]
                    + m[axis, 2] * points[i, 2]
                    - origin[axis]
                )
                if abs(value - np.rint(value)) > tolerance:
                    good = False
                    break
            if good:
                n += 1
        shares[k] = n / len(points)
    return shares
