"""From a model and the name of a predictor to a prior, in one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import biotite.structure as bst

from unstill.errors import InputError
from unstill.guidance.predictors.atom_map import map_atoms
from unstill.guidance.predictors.cards import find_card
from unstill.guidance.predictors.contents import read_contents
from unstill.guidance.predictors.environments import locate, start
from unstill.guidance.predictors.failures import MissingWeightsError
from unstill.guidance.predictors.model_prior import ModelPrior
from unstill.guidance.predictors.prior import PredictorPrior


@contextmanager
def open_prior(
    name: str,
    atoms: bst.AtomArray,
    *,
    weights: Path | None = None,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
    sequences: Mapping[str, str] | None = None,
    alignments: Mapping[str, Path] | None = None,
    batch: int | None = None,
    superpose: bool = True,
    timeout: float = 900.0,
    restarts: int = 1,
    seed: int = 0,
) -> Iterator[ModelPrior]:
    """Start an installed predictor, tell it what a model holds, and give its prior.

    Use it in a ``with`` block; on leaving, the predictor and all that it started are ended.

    Parameters
    ----------
    name
        Of the predictor; ``unstill predictor list`` shows them.
    atoms
        The model: one conformer, with coordinates (Å).
    weights
        File of weights; that of the predictor's environment by default.
    device
        ``"cpu"``, ``"cuda"`` and the like; the first GPU by default, where there is one.
    options
        Others for its worker.
    sequences, alignments
        Chain of the model → its whole sequence, and its alignment (A3M).
    batch
        Members that it is given at a time; all by default.
    superpose
        Superpose what is predicted on the model.
    timeout
        Longest time (s) that an answer may take.
    restarts
        How often a predictor that died or fell silent is started again.
    seed
        Of whatever is random in it.

    Yields
    ------
    ModelPrior
        In the rows ``index`` of ``atoms``; atoms without a partner are named in its ``notes``.

    Raises
    ------
    InputError
        If there is no such predictor, it is not installed, or the model has nothing for it.
    PredictorError
        If it fails; the subclass says why.
    """
    card = find_card(name)
    if card.role != "prior":
        raise InputError(
            f"{card.title} is no prior", found=name, fix="give a predictor of structures"
        )
    if weights is not None and not Path(weights).is_file():
        raise MissingWeightsError(
            f"the weights of {name} are not there",
            found=weights,
            fix=f"give the file that its authors publish ({card.weights})",
        )
    given = {"weights": weights, "device": device}
    told = {key: str(value) for key, value in given.items() if value is not None}
    # A model that cannot be read costs no start of a predictor.
    contents = read_contents(atoms, sequences=sequences, alignments=alignments)
    environment = locate(card)
    with start(environment, options={**(options or {}), **told}, timeout=timeout) as process:
        process.featurise(contents.molecules, seed=seed)
        pairs = map_atoms(atoms, contents, process.atoms)
        prior = PredictorPrior(process, batch=batch, restarts=restarts)
        yield ModelPrior(prior, atoms, pairs, superpose=superpose, seed=seed)
