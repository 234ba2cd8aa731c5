r"""A predictor as a prior.

Its network knows structures whose centre is at the origin. Coordinates go to it
centred, member by member, and come back where they were:

.. math:: D'(x) = R^T D(R (x - c)) + c, \qquad c = \bar x

with R the identity or, on request, a random rotation at every call: networks
of the AlphaFold 3 kind have learnt, not been built, to treat all orientations
alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import biotite.structure
import numpy as np
import scipy.spatial.transform

from unstill.errors import InputError, UnstillWarning
from unstill.guidance.predictors.client import PredictorProcess
from unstill.guidance.predictors.failures import PredictorDiedError, PredictorTimeoutError
from unstill.guidance.predictors.protocol import Report
from unstill.shapes import Coords, Float

_DROWNED = 10.0


class PredictorPrior:
    """The prior of a predictor that has been told what to predict.

    Parameters
    ----------
    process
        The running predictor, after ``featurise``.
    batch
        Members that it is given at a time; all by default.
    rotations
        Source of a random rotation for each member at every call; by default the frame is kept,
        and the same input gives the same result.
    restarts
        How often a predictor that died or fell silent is started again.

    Raises
    ------
    InputError
        If the predictor has not been told what to predict, or a number is out of range.
    """

    def __init__(
        self,
        process: PredictorProcess,
        *,
        batch: int | None = None,
        rotations: np.random.Generator | None = None,
        restarts: int = 1,
    ) -> None:
        if (batch is not None and batch < 1) or restarts < 0:
            raise InputError(
                "a batch needs members, and restarts are counted",
                found=f"batch {batch}, restarts {restarts}",
                fix="give a batch of 1 or more, restarts of 0 or more",
            )
        self.atoms: biotite.structure.AtomArray = process.atoms
        self.restarts_left = restarts
        self._process = process
        self._batch = batch
        self._rotations = rotations
        self._last: _Call | None = None
        self._pulls = False

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.atoms.array_length())

    def report(self) -> Report:
        """Device and memory of the process, now."""
        return self._process.report()

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å) of members with independent noise of s.d. ``sigma`` (Å).

        Raises
        ------
        PredictorError
            If the predictor fails, and fails again after its restarts.
        """
        call = self._last = self._call(x, sigma)
        pieces = self._pieces(len(x))
        # Once a gradient has been asked for, it will be again: keep what it needs.
        keep = self._pulls and len(pieces) == 1

        def ask(members: slice) -> Coords:
            return self._process.denoise(call.sent[members], sigma, keep=keep)

        clean: np.ndarray = call.returned(self._in_pieces(ask, pieces)) + call.centre
        call.kept = keep
        return clean

    def pullback(self, x: Coords, sigma: float, gradient: Coords) -> Coords:
        """Transposed Jacobian of ``denoise`` at ``x``, times a gradient to its result.

        At the input of the last ``denoise`` it is that of this very call, its rotations included.

        Raises
        ------
        PredictorError
            If the predictor fails, and fails again after its restarts.
        """
        self._pulls = True
        call = self._last
        if call is None or call.sigma != sigma or not np.array_equal(call.x, x):
            call = self._call(x, sigma)
        shared = gradient.mean(axis=1, keepdims=True)
        turned = call.turned(gradient)

        def pull(members: slice) -> Coords:
            if not call.kept:
                self._process.denoise(call.sent[members], sigma, keep=True)
            call.kept = False
            return self._process.pullback(turned[members])

        pulled = call.returned(self._in_pieces(pull, self._pieces(len(x))))
        result: np.ndarray = pulled - pulled.mean(axis=1, keepdims=True) + shared
        return result

    def sample_init(self, n_members: int, sigma: float, rng: np.random.Generator) -> Coords:
        """Members around the origin with noise of s.d. ``sigma`` (Å).

        Raises
        ------
        InputError
            If the noise does not drown what the structures look like.
        """
        spread = self._process.hello.sigma_data
        assert spread is not None
        if sigma < _DROWNED * spread:
            raise InputError(
                "noise must drown the structure where sampling starts from nothing",
                found=f"{sigma:g} Å",
                fix=f"start at {_DROWNED * spread:g} Å or more, or add noise to a known structure",
            )
        drowned: np.ndarray = rng.standard_normal((n_members, self.n_atoms, 3))
        return float(np.hypot(sigma, spread)) * drowned

    def _call(self, x: Coords, sigma: float) -> _Call:
        turns = None
        if self._rotations is not None:
            random = scipy.spatial.transform.Rotation.random(len(x), rng=self._rotations)
            turns = random.as_matrix()
        return _Call(np.array(x), float(sigma), x.mean(axis=1, keepdims=True), turns)

    def _pieces(self, n_members: int) -> list[slice]:
        step = n_members if self._batch is None else self._batch
        return [slice(start, start + step) for start in range(0, n_members, step)]

    def _in_pieces(self, ask: Callable[[slice], Coords], pieces: list[slice]) -> Coords:
        return np.concatenate([self._persist(ask, members) for members in pieces])

    def _persist(self, ask: Callable[[slice], Coords], members: slice) -> Coords:
        while True:
            try:
                return ask(members)
            except (PredictorDiedError, PredictorTimeoutError) as error:
                if self.restarts_left == 0:
                    raise
                self.restarts_left -= 1
                warnings.warn(f"{error.what}; it is started again", UnstillWarning, stacklevel=2)
                if self._last is not None:
                    self._last.kept = False
                self._process.restart()


@dataclass(eq=False)
class _Call:
    """Input of one call, in our frame and in the network's."""

    x: Coords
    sigma: float
    centre: Coords
    turns: Float[np.ndarray, "n_members 3 3"] | None
    kept: bool = False

    @property
    def sent(self) -> Coords:
        return self.turned(self.x - self.centre)

    def turned(self, vectors: Coords) -> Coords:
        return vectors if self.turns is None else vectors @ self.turns.transpose(0, 2, 1)

    def returned(self, vectors: Coords) -> Coords:
        return vectors if self.turns is None else vectors @ self.turns
