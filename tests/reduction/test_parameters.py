"""Parameters: documented, the same when read back; typos are named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import FormatError, InputError
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.parameters_toml import (
    parameters_text,
    read_parameters,
    write_parameters,
)

GROUPS = [item.name for item in fields(ReduceParameters) if item.name != "seed"]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = {
    "bool": st.booleans(),
    "int": st.integers(-(2**40), 2**40),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "str": TEXT,
    "tuple[str, ...]": st.lists(TEXT, max_size=3).map(tuple),
    "tuple[int, int, int]": st.tuples(*[st.integers(1, 99)] * 3),
}


def values(hint: str) -> st.SearchStrategy[object]:
    if hint.endswith(" | None"):
        return st.none() | values(hint.removesuffix(" | None"))
    if hint.startswith("Literal["):
        return st.sampled_from([item.strip(" '\"") for item in hint[8:-1].split(",")])
    return VALUES[hint]


@st.composite
def parameters(draw: st.DrawFn) -> ReduceParameters:
    given: dict[str, object] = {"seed": draw(st.integers(0, 2**31))}
    for name in GROUPS:
        group = getattr(ReduceParameters(), name)
        given[name] = {item.name: draw(values(str(item.type))) for item in fields(group)}
    return ReduceParameters.from_dict(given)


@given(wanted=parameters())
def test_what_is_written_is_read_back(
    wanted: ReduceParameters, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "reduce.toml"
    write_parameters(wanted, path, heading=["one", "two"])
    assert read_parameters(path) == wanted


def test_every_parameter_says_what_it_means() -> None:
    text = parameters_text(ReduceParameters())
    for name in GROUPS:
        group = getattr(ReduceParameters(), name)
        assert f"[{name}]" in text
        assert group.__doc__
        for item in fields(group):
            assert len(item.metadata["meaning"]) > 8, item.name
            assert item.metadata["meaning"] in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[integrat]\ndivisions=[1,1,1]", "did you mean integrate"),
        ("[integrate]\ndivision=[1,1,1]", "did you mean divisions"),
        ("[integrate]\ndivisions=[1,1]", "three positive whole numbers"),
        ("[integrate]\ndivisions=[1,1,0]", "three positive whole numbers"),
        ("[frames]\nscan='heder'", "one of header, expt"),
        ("[merge]\nsymmetry=1", "true or false"),
        ("[scale]\nscale='maybe'", "one of on, off, auto"),
        ("[map]\nformats='b'", "a list of texts"),
        ("integrate=3", "a table of parameters"),
        ("seed=1.5", "a whole number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "reduce.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_parameters(path)
    assert "reduce.toml" in str(caught.value)


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "reduce.toml"
    path.write_text("[frames\n")
    with pytest.raises(FormatError, match=r"reduce\.toml is no TOML"):
        read_parameters(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_parameters(tmp_path / "other.toml")
