from __future__ import annotations

import pickle

import pytest

from unstill import errors
from unstill.optional import require


def test_an_error_says_what_was_found_and_what_to_do() -> None:
    error = errors.InputError("d_min must be positive", found=-1, fix="give it in angstroms")
    assert str(error) == "d_min must be positive; found -1; give it in angstroms"


@pytest.mark.parametrize("kind", [errors.InputError, errors.FormatError, errors.OutputError])
def test_errors_cross_process_borders_whole(kind: type[errors.UnstillError]) -> None:
    error = kind("what", found="found", fix="fix")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.what, again.found, again.fix) == (kind, "what", "found", "fix")


def test_a_missing_extra_names_the_line_to_type() -> None:
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'unstill\[gpu\]'"):
        require("no_such_package_of_ours", extra="gpu")
