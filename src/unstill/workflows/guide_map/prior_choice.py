"""Which prior guides a model: the built-in chemistry, or a predictor that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from unstill.guidance.predictors import open_prior
from unstill.guidance.priors.finish import Finish, Staged
from unstill.guidance.priors.predicted import Predicted
from unstill.guidance.protocols import Prior
from unstill.guidance.run import geometry_prior
from unstill.guidance.start import GuidedModel

BUILT_IN = "built-in"

PriorChoice = Callable[[GuidedModel], AbstractContextManager[Prior | None]]
"""Opens the prior of a model; nothing stands for the built-in one."""


def built_in() -> PriorChoice:
    """Choose the chemistry that is always there."""

    @contextmanager
    def choose(model: GuidedModel) -> Iterator[Prior | None]:
        del model
        yield None

    return choose


def predictor(
    name: str,
    *,
    weights: Path | None = None,
    device: str | None = None,
    batch: int | None = None,
    seed: int = 0,
    told: Callable[[str], None] | None = None,
) -> PriorChoice:
    """Choose a predictor by name; it runs in a process of its own while it is needed.

    Parameters
    ----------
    name
        As ``unstill predictor list`` shows it.
    weights, device, batch
        As of :func:`unstill.guidance.predictors.open_prior`.
    seed
        Of whatever is random in it.
    told
        Gets what people should know: atoms that are not predicted; in the end, device and memory.
    """

    @contextmanager
    def choose(model: GuidedModel) -> Iterator[Prior | None]:
        chemistry = Staged(geometry_prior(model), Finish(model))
        reference = model.atoms.coord[0].astype(float)
        atoms = model.atoms.atoms.copy()
        atoms.coord = reference.astype(np.float32)
        tell = told or (lambda text: None)
        with open_prior(
            name, atoms, weights=weights, device=device, batch=batch, seed=seed
        ) as found:
            for note in found.notes:
                tell(note)
            yield Predicted(found, chemistry, reference, model.movable)
            used = found.report()
            tell(f"{name} on {used.device}, {used.memory / 1e9:.2f} GB")

    return choose
