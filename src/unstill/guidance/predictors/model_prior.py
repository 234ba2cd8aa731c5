r"""A predictor as a prior in the atoms and in the frame of a model.

Data are measured in a frame; a network places what it predicts anywhere. Its
answer is therefore superposed on the model (atoms that have partners, Kabsch):

.. math:: D'(x) = R\, D(x, y) + t

Atoms of the predictor that the model lacks, ``y`` (a terminal oxygen, a loop
that was not built), are carried along: they follow the flow of probability,

.. math:: y(\sigma') = D_y + \frac{\sigma'}{\sigma}\,(y(\sigma) - D_y)

from level to level, which is what a deterministic sampler does with all atoms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import biotite.structure as bst
import numpy as np

from unstill.errors import InputError
from unstill.guidance.predictors.atom_map import AtomMap
from unstill.guidance.predictors.prior import PredictorPrior
from unstill.guidance.predictors.protocol import Report
from unstill.shapes import Coord, Coords, Float, Int


class ModelPrior:
    """The prior of a predictor, for the atoms of a model that it knows.

    Parameters
    ----------
    prior
        Of the predictor, in its own atoms.
    atoms
        The model: one conformer, with coordinates (Å).
    pairs
        Partners among the atoms of both.
    superpose
        Superpose what is predicted on the model. Without it, it stands where the noise was.
    seed
        Of the noise of atoms that the model lacks, where :meth:`sample_init` did not draw it.

    Raises
    ------
    InputError
        If a coordinate of the model is not finite.
    """

    def __init__(
        self,
        prior: PredictorPrior,
        atoms: bst.AtomArray,
        pairs: AtomMap,
        *,
        superpose: bool = True,
        seed: int = 0,
    ) -> None:
        self.pairs = pairs
        self.atoms: bst.AtomArray = atoms[pairs.model]
        if not np.isfinite(self.atoms.coord).all():
            raise InputError(
                "the model has atoms without a place",
                found=f"{int((~np.isfinite(self.atoms.coord)).any(axis=1).sum())} atoms",
                fix="remove them",
            )
        self._prior = prior
        self._reference = self.atoms.coord.astype(float)
        self._superpose = superpose
        self._rng = np.random.default_rng(seed)
        self._beside = _nearest_partner(pairs, prior.atoms)
        self._hidden: _Hidden | None = None
        self._turns: tuple[Coords, float, Float[np.ndarray, "n_members 3 3"]] | None = None

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self._reference)

    @property
    def index(self) -> Int[np.ndarray, " n_atoms"]:
        """Rows of the model that it moves, in the model's order."""
        return self.pairs.model

    @property
    def notes(self) -> tuple[str, ...]:
        """Atoms that have no partner, by name."""
        return self.pairs.notes

    def report(self) -> Report:
        """Device and memory of the predictor, now."""
        return self._prior.report()

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å) of members with independent noise of s.d. ``sigma`` (Å).

        Raises
        ------
        InputError
            If the shape does not fit the atoms.
        PredictorError
            If the predictor fails, and fails again after its restarts.
        """
        whole = self._whole(x, sigma)
        clean = self._prior.denoise(whole, sigma)
        if self._hidden is not None:
            self._hidden.clean = clean[:, self.pairs.hidden]
        known = clean[:, self.pairs.predictor]
        if not self._superpose:
            return known
        turns, moved = _superposed(known, self._reference)
        self._turns = (np.array(x), sigma, turns)
        if self._hidden is not None:
            centre = known.mean(axis=1, keepdims=True)
            shifted = (self._hidden.clean - centre) @ turns.transpose(0, 2, 1)
            self._hidden.clean = shifted + self._reference.mean(axis=0)
        return moved

    def pullback(self, x: Coords, sigma: float, gradient: Coords) -> Coords:
        """Transposed Jacobian of ``denoise`` at ``x``, times a gradient to its result.

        The rotation of the superposition is taken as fixed, and carried atoms as given.

        Raises
        ------
        PredictorError
            If the predictor fails, and fails again after its restarts.
        """
        turned = gradient
        if self._superpose:
            if (
                self._turns is None
                or self._turns[1] != sigma
                or not np.array_equal(self._turns[0], x)
            ):
                self.denoise(x, sigma)
            assert self._turns is not None
            # Superposition takes the centre away; a common shift of the result has no source.
            turned = (gradient - gradient.mean(axis=1, keepdims=True)) @ self._turns[2]
        given = np.zeros((len(x), self._prior.n_atoms, 3))
        given[:, self.pairs.predictor] = turned
        pulled = self._prior.pullback(self._whole(x, sigma), sigma, given)
        return pulled[:, self.pairs.predictor]

    def sample_init(self, n_members: int, sigma: float, rng: np.random.Generator) -> Coords:
        """Members with noise of s.d. ``sigma`` (Å), from which sampling starts: the model's.

        Where the noise drowns the model this is a start from nothing.
        """
        noise = rng.standard_normal((n_members, self._prior.n_atoms, 3))
        start = np.empty_like(noise)
        start[:, self.pairs.predictor] = self._reference
        start[:, self.pairs.hidden] = self._reference[self._beside]
        start += sigma * noise
        self._begin_hidden(start[:, self.pairs.hidden], sigma)
        known: Coords = start[:, self.pairs.predictor]
        return known

    def _whole(self, x: Coords, sigma: float) -> Coords:
        if x.ndim != 3 or x.shape[1:] != (self.n_atoms, 3):
            raise InputError(
                "coordinates do not fit the atoms of the prior",
                found=f"shape {x.shape}",
                fix=f"give (n_members, {self.n_atoms}, 3), the model's rows in `index`",
            )
        whole = np.empty((len(x), self._prior.n_atoms, 3))
        whole[:, self.pairs.predictor] = x
        if len(self.pairs.hidden):
            whole[:, self.pairs.hidden] = self._carried(x, sigma)
        return whole

    def _carried(self, x: Coords, sigma: float) -> Coords:
        hidden = self._hidden
        if hidden is None or len(hidden.noisy) != len(x):
            noise = self._rng.standard_normal((len(x), len(self.pairs.hidden), 3))
            hidden = self._begin_hidden(x[:, self._beside] + sigma * noise, sigma)
        if hidden.sigma != sigma:
            ratio = sigma / hidden.sigma
            hidden.noisy = hidden.clean + ratio * (hidden.noisy - hidden.clean)
            hidden.sigma = sigma
        return hidden.noisy

    def _begin_hidden(self, noisy: Coords, sigma: float) -> _Hidden:
        clean = np.broadcast_to(self._reference[self._beside], noisy.shape)
        self._hidden = _Hidden(noisy, sigma, clean)
        return self._hidden


@dataclass(eq=False)
class _Hidden:
    """Atoms that the model lacks, at their last level."""

    noisy: Coords
    sigma: float
    clean: Coords = field(repr=False)


def _nearest_partner(pairs: AtomMap, predicted: bst.AtomArray) -> Int[np.ndarray, " n_hidden"]:
    """For atoms that the model lacks: where, among the known ones, the next of their chain is."""
    order = np.argsort(pairs.predictor, kind="stable")
    rows = pairs.predictor[order]
    found = []
    for hidden in pairs.hidden:
        near = np.abs(rows - hidden).astype(float)
        near[predicted.chain_id[rows] != predicted.chain_id[hidden]] += len(predicted)
        found.append(int(order[near.argmin()]))
    return np.array(found, dtype=np.int64)


def _superposed(moving: Coords, fixed: Coord) -> tuple[Float[np.ndarray, "n_members 3 3"], Coords]:
    """Rotations and coordinates after a least-squares superposition (Kabsch)."""
    centre = moving.mean(axis=1, keepdims=True)
    target = fixed - fixed.mean(axis=0)
    covariance = np.einsum("mai,aj->mij", moving - centre, target)
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    turns = (u @ vt).transpose(0, 2, 1)
    return turns, (moving - centre) @ turns.transpose(0, 2, 1) + fixed.mean(axis=0)
