"""From a model and a density map, or amplitudes, to a judged ensemble, its files, its report."""

from unstill.workflows.guide_map.amplitudes import guide_amplitudes
from unstill.workflows.guide_map.guiding import GuideOptions, GuideResult, guide_map

__all__ = ["GuideOptions", "GuideResult", "guide_amplitudes", "guide_map"]
