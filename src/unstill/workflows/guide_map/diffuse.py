"""Diffuse intensity beside a density or amplitudes.

What of the molecule differs from copy to copy scatters between the peaks: the
density tells which places there are, the diffuse map which of them go together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unstill.crystal import Crystal
from unstill.guidance.observables.diffuse import DiffuseObservable
from unstill.guidance.observables.joint import Joint
from unstill.guidance.protocols import EnsembleState, Observable
from unstill.guidance.start import GuidedModel
from unstill.maps.intensity_map import IntensityMap
from unstill.workflows.guide_map.frame import check_crystals

if TYPE_CHECKING:
    from unstill.workflows.guide_map.guiding import GuideOptions

_SHELLS = 10
"""Of an isotropic background, for solvent and for what moves as a whole."""


@dataclass(frozen=True, eq=False)
class JointData:
    """Data with or without a diffuse map.

    Parameters
    ----------
    joint
        All of them.
    diffuse
        The diffuse part, if there is one.
    """

    joint: Observable
    diffuse: DiffuseObservable | None

    def agreement(self, state: EnsembleState) -> float | None:
        """Anisotropic correlation with the diffuse map."""
        return None if self.diffuse is None else self.diffuse.agreement(state)


def with_diffuse(model: GuidedModel, data: Observable, options: GuideOptions) -> JointData:
    """Join data of a model with the diffuse map of the options."""
    if options.diffuse is None:
        return JointData(data, None)
    diffuse = DiffuseObservable(
        options.diffuse, model.element, occupancy=model.occupancy, n_background=_SHELLS
    )
    return JointData(Joint([(data, 1.0), (diffuse, 1.0)]), diffuse)


def check_diffuse(target: IntensityMap | None, crystal: Crystal | None) -> None:
    """Refuse a diffuse map of another crystal."""
    if target is not None:
        check_crystals(target.crystal, crystal, "the diffuse map")
