"""A sweep without a fault raises no alarm; each fault raises its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.reduction.integration.tables import pixel_tables
from unstill.reduction.survey.peak_survey import PeakSurvey, survey_peaks
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.bragg import wilson_peaks
from unstill.simulation.faults import Faults
from unstill.simulation.frames import SimulatedFrames
from unstill.simulation.recipe import Recipe

ORTHO = Crystal((29.0, 33.0, 37.0, 90, 90, 90), "P 21 21 21")
TETRA = Crystal((79.0, 79.0, 38.0, 90, 90, 90), "P 43 21 2")
TRI = Crystal((26.0, 31.0, 34.0, 88, 109, 112), "P 1")
CUBIC = Crystal((68.0, 68.0, 68.0, 90, 90, 90), "I 2 3")

USUAL: dict[str, Any] = {
    "detector": "small",
    "n_frames": 90,
    "phi_step": 1.0,
    "exposure_time": 1.0,
    "mean_counts": 20.0,
}


def simulated(crystal: Crystal, *, bragg: bool = True, **more: Any) -> SimulatedFrames:
    recipe = Recipe(**{**USUAL, **more})
    peaks = wilson_peaks(crystal, 1.8, mosaicity=recipe.mosaicity, seed=1) if bragg else None
    return recipe.frames(AnalyticTruth(crystal, seed=1), peaks)


def survey(frames: SimulatedFrames) -> PeakSurvey:
    return survey_peaks(frames.experiment, frames, pixel_tables(frames.experiment))


def alarms(frames: SimulatedFrames) -> list[str]:
    return [finding.code for finding in survey(frames).findings]


@pytest.mark.parametrize("crystal", [ORTHO, TETRA, TRI, CUBIC], ids=lambda c: str(c.space_group))
def test_clean_sweeps_raise_no_alarm(crystal: Crystal) -> None:
    # Peaks of longer axes are as wide as the cell in slices of a degree.
    step = 1.0 if max(crystal.unit_cell[:3]) < 40 else 0.2
    for distance in (60.0, 140.0):
        more = {"background": 0.5, "effects": True, "phi_step": step}
        assert alarms(simulated(crystal, distance=distance, **more)) == []


@pytest.mark.parametrize("mean_counts", [0.05, 2.0, 200.0])
def test_neither_dose_nor_air_makes_an_alarm(mean_counts: float) -> None:
    for background in (0.0, 5.0):
        more = {"mean_counts": mean_counts, "background": background, "phi_step": 0.2}
        assert alarms(simulated(ORTHO, **more)) == []
    assert alarms(simulated(ORTHO, bragg=False, distance=100.0)) in ([], ["few-peaks"])


@pytest.mark.parametrize(
    ("code", "faults"),
    [
        ("hot-pixels", Faults(hot_pixels=3)),
        ("second-lattice", Faults(second_lattice=0.3)),
    ],
)
def test_each_fault_raises_its_own(code: str, faults: Faults) -> None:
    frames = simulated(ORTHO, distance=140.0, faults=faults)
    assert alarms(frames) == [code]
    if code == "hot-pixels":
        flat = np.sort(survey(frames).bad_pixels @ [0, 256, 1])
        np.testing.assert_array_equal(
            flat, replace(faults, seed=frames.seed).bad_pixels(256**2)[0]
        )


def test_powder_is_ice_where_ice_has_rings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = simulated(ORTHO, distance=140.0, phi_step=0.2)
    assert clean.truth is not None
    hkl = np.random.default_rng(1).uniform(-10, 10, (2000, 3))
    faults = Faults(ice=2 * float(np.median(clean.truth.at(hkl))))
    found = survey(simulated(ORTHO, distance=140.0, phi_step=0.2, faults=faults))
    assert [finding.code for finding in found.findings] == ["ice-rings"]
    for d in (3.895, 3.661, 3.438):
        assert min(abs(ring / d - 1) for ring in found.rings) < 0.01
    monkeypatch.setattr("unstill.simulation.faults.ICE_SPACINGS", (4.76,))
    monkeypatch.setattr("unstill.simulation.faults._ICE_HEIGHTS", (1.0,))
    found = survey(simulated(ORTHO, distance=140.0, phi_step=0.2, faults=faults))
    assert [finding.code for finding in found.findings] == ["rings"]
    assert found.rings == pytest.approx([4.76], rel=0.01)
