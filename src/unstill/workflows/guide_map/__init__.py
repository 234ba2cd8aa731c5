"""From a model and a density map to a judged ensemble, its files and its report."""

from unstill.workflows.guide_map.guiding import GuideOptions, GuideResult, guide_map

__all__ = ["GuideOptions", "GuideResult", "guide_map"]
