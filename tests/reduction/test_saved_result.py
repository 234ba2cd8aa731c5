"""Results of steps come back as they were, and nothing foreign is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.errors import FormatError, InputError
from unstill.maps import IntensityMap
from unstill.reduction.pipeline.saved_result import load_result, save_result


def test_dataclasses_and_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    grid = HklGrid((-1, -1, 0), (3, 3, 2), (2, 2, 1))
    intensity = np.random.default_rng(1).normal(size=grid.shape)
    intensity[0, 0, 0] = np.nan
    value: dict[Any, Any] = {
        "map": IntensityMap(Crystal((10, 11, 12, 90, 90, 90), "P 21 21 21"), grid, intensity),
        "numbers": (1, 0.1, float("inf"), None, True, np.float32(0.25), np.int8(3)),
        "list": ["a", {3: "b"}],
        "empty": np.zeros((0, 3), np.int32),
    }
    save_result(value, tmp_path / "a.npz")
    found = load_result(tmp_path / "a.npz")
    assert found["map"].crystal == value["map"].crystal
    assert found["map"].grid == grid
    assert found["map"].intensity.tobytes() == intensity.tobytes()
    assert found["numbers"] == value["numbers"]
    assert [type(entry) for entry in found["numbers"]] == [type(e) for e in value["numbers"]]
    assert found["list"] == value["list"]
    assert (found["empty"].shape, found["empty"].dtype) == ((0, 3), np.int32)


@pytest.mark.parametrize("value", [object(), {"a": lambda: 1}, np.array([object()])])
def test_what_cannot_be_kept_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(InputError, match="cannot be kept"):
        save_result(value, tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["os:system", "unstill.errors:InputError", "unstill.nothing:A"])
def test_foreign_classes_are_refused(tmp_path: Path, name: str) -> None:
    tree = json.dumps({"class": name, "fields": {"what": "x"}}).encode()
    path = tmp_path / "a.npz"
    with path.open("wb") as stream:
        np.savez(stream, **{"tree.json": np.frombuffer(tree, np.uint8)})
    with pytest.raises((InputError, FormatError)):
        load_result(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_result({"a": np.arange(10)}, path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(FormatError, match=r"a\.npz"):
        load_result(path)
