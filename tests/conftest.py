"""Shared by all tests: shape checks on, data folder, hypothesis profiles."""

from __future__ import annotations

# ruff: noqa: E402
import os
from pathlib import Path

from unstill.parallel.threads import keep_to_one_thread

# Before numpy is loaded: test processes side by side must not start threads of their own.
keep_to_one_thread()

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Wrong shapes fail in the tests and cost users nothing. Rooms with numba kernels are left out:
# a wrapped function cannot be compiled.
install_import_hook(
    [
        "unstill.crystal",
        "unstill.maps",
        "unstill.ensembles",
        "unstill.disorder",
        "unstill.experiment",
    ],
    "shape_checks.typechecked",
)

settings.register_profile(
    "sample",
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "soak", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("UNSTILL_HYPOTHESIS", "sample"))


@pytest.fixture(scope="session")
def unstill_data() -> Path:
    """Folder of real data; the test is skipped, with the reason, where there is none."""
    folder = os.environ.get("UNSTILL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data: set UNSTILL_DATA to the folder that holds it")
    return Path(folder)


def pytest_xdist_auto_num_workers() -> int:
    """``-n auto`` means the processors that may be used, not those that can be seen."""
    from unstill.parallel import cpu_count

    return cpu_count()
