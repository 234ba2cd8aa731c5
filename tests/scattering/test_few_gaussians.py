import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unstill.errors import InputError
from unstill.scattering import form_factors
from unstill.scattering.few_gaussians import few_gaussians

ELEMENTS = ["H", "C", "N", "O", "S", "P", "SE", "FE", "ZN", "NA", "CL"]


@settings(max_examples=60, deadline=None)
@given(
    elements=st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=4),
    d_min=st.floats(0.7, 8.0),
    tolerance=st.sampled_from([1e-2, 3e-3, 1e-3, 1e-6]),
    electron=st.booleans(),
)
def test_gaussians_hold_to_the_resolution(
    elements: list[str], d_min: float, tolerance: float, electron: bool
) -> None:
    height, width = few_gaussians(np.array(elements), d_min, tolerance, electron=electron)
    # Other points than those of the fit.
    s_squared = np.random.default_rng(0).uniform(0, d_min**-2, 200)
    truth = form_factors(elements, s_squared, table="electron" if electron else "xray")
    found = (height[..., None] * np.exp(-width[..., None] * s_squared / 4)).sum(axis=1)
    assert np.abs(found / truth - 1).max() <= 1.1 * tolerance


def test_two_terms_do_for_a_protein_at_two_angstroms() -> None:
    assert few_gaussians(np.array(["C", "N", "O", "S"]), 2.0, 1e-3)[0].shape == (4, 2)
    assert few_gaussians(np.array(["C"]), 0.7, 1e-6)[0].shape == (1, 5)


def test_an_unknown_element_is_refused() -> None:
    with pytest.raises(InputError, match="no form factor"):
        few_gaussians(np.array(["X"]), 2.0, 1e-3)
