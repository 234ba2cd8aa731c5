"""How rough a surface is: second differences along lines and over planes.

Strength follows mdx2: a term of relative weight α has λ = α tr(AᵀWA) / tr(BᵀB)
with the weighted design matrix A and the roughness B, so that α = 1 smooths
over about one knot at any dose; here each sweep by its own information.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unstill.reduction.scaling.basis import Knots, PanelKnots
from unstill.reduction.scaling.component import Component
from unstill.reduction.scaling.options import ScaleOptions
from unstill.shapes import Float, Int

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True, eq=False)
class Roughness:
    """One term of the penalty of a component, |B u|² in groups.

    Parameters
    ----------
    matrix
        ``(n_terms, n_knots)`` B.
    term_group, knot_group
        Sweep (or panel) of each row and each column of B; groups are scaled apart.
    alpha
        Strength.
    """

    matrix: sparse.csr_array
    term_group: Int[np.ndarray, " n_terms"]
    knot_group: Int[np.ndarray, " n_knots"]
    alpha: float

    def unit(self, information: Float[np.ndarray, " n_knots"]) -> sparse.csr_array:
        """Return λ BᵀB for the diagonal of AᵀWA and α = 1."""
        from scipy import sparse

        groups = int(self.knot_group.max(initial=0)) + 1
        squares = np.asarray(self.matrix.multiply(self.matrix).sum(axis=1)).ravel()
        rough = np.bincount(self.term_group, weights=squares, minlength=groups)
        data = np.bincount(self.knot_group, weights=information, minlength=groups)
        strength = data / np.where(rough > 0, rough, 1.0)
        weighted = sparse.diags_array(strength[self.term_group]) @ self.matrix
        scaled: sparse.csr_array = (self.matrix.T @ weighted).tocsr()
        return scaled


def roughness_terms(component: Component, options: ScaleOptions) -> list[Roughness]:
    """Return the terms of the penalty of a component, with the α to start from."""
    name = component.name
    static, along = component.plane or component.line, component.track
    terms: list[Roughness] = []
    if along is not None:
        alpha = {"a": options.a_alpha_phi, "b": options.b_alpha, "c": options.c_alpha_phi}[name]
        terms += _along_track(static.total if static else 1, along, alpha)
    if static is not None:
        alpha = {"a": options.a_alpha_xy, "c": options.c_alpha_s, "d": options.d_alpha}[name]
        terms += _over_static(static, along, alpha)
    if name == "c":
        terms.append(_ridge(component, options.c_ridge))
    return terms


def _ridge(component: Component, alpha: float) -> Roughness:
    from scipy import sparse

    sweep = component.track.key_of_knot if component.track is not None else np.zeros(1, np.int64)
    group = np.tile(sweep, component.shape[0])
    identity = sparse.eye_array(component.n_knots, format="csr")
    return Roughness(sparse.csr_array(identity), group, group, alpha)


def second_differences(knots: Knots) -> sparse.csr_array:
    """Return rows (−½, 1, −½) for every knot between two others of its key."""
    from scipy import sparse

    inner = [
        first + np.arange(1, number - 1)
        for first, number in zip(knots.offset, knots.count, strict=True)
        if number > 2
    ]
    middle = np.concatenate(inner) if inner else np.zeros(0, dtype=np.int64)
    row = np.arange(len(middle))
    ones = np.ones(len(middle))
    matrix: sparse.csr_array = sparse.csr_array(
        (
            np.concatenate([-0.5 * ones, ones, -0.5 * ones]),
            (np.tile(row, 3), np.concatenate([middle - 1, middle, middle + 1])),
        ),
        shape=(len(middle), knots.total),
    )
    return matrix


def plane_differences(plane: PanelKnots) -> sparse.csr_array:
    """Return second differences along x and along y of each panel, one below the other.

    A graph Laplacian, which mdx2 has here, penalises slopes at the edges; these
    leave any gradient over the detector alone.
    """
    from scipy import sparse

    blocks = []
    for n_x, n_y in zip(plane.x.count, plane.y.count, strict=True):
        x, y = (second_differences(_line(int(count))) for count in (n_x, n_y))
        over_x = sparse.kron(x, sparse.eye_array(int(n_y)))
        over_y = sparse.kron(sparse.eye_array(int(n_x)), y)
        blocks.append(sparse.vstack([over_x, over_y]))
    matrix: sparse.csr_array = sparse.block_diag(blocks, format="csr")
    return matrix


def _line(count: int) -> Knots:
    return Knots.spanning([0.0], [1.0], [count])


def _along_track(n_static: int, track: Knots, alpha: float) -> list[Roughness]:
    from scipy import sparse

    rough = second_differences(track)
    if rough.shape[0] == 0:
        return []
    # The middle knot of a row tells its sweep.
    sweep = track.key_of_knot[np.asarray(abs(rough).argmax(axis=1)).ravel()]
    matrix = sparse.kron(sparse.eye_array(n_static), rough, format="csr")
    return [
        Roughness(matrix, np.tile(sweep, n_static), np.tile(track.key_of_knot, n_static), alpha)
    ]


def _over_static(static: PanelKnots | Knots, track: Knots | None, alpha: float) -> list[Roughness]:
    from scipy import sparse

    rough = (
        plane_differences(static) if isinstance(static, PanelKnots) else second_differences(static)
    )
    if rough.nnz == 0:
        return []
    sweep = track.key_of_knot if track is not None else np.zeros(1, dtype=np.int64)
    matrix = sparse.kron(rough, sparse.eye_array(len(sweep)), format="csr")
    return [Roughness(matrix, np.tile(sweep, rough.shape[0]), np.tile(sweep, static.total), alpha)]
