from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from unstill import __version__
from unstill.provenance import Provenance
from unstill.provenance.record import plain


def test_provenance_holds_versions_parameters_digests_and_seed(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_bytes(b"abc")
    record = Provenance.of("unstill fit", {"d_min": np.float64(1.6)}, inputs=[data], seed=3)
    found = json.loads(json.dumps(record.as_dict()))
    assert found["versions"]["unstill"] == __version__
    assert found["parameters"] == {"d_min": 1.6}
    assert found["seed"] == 3
    sha256_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found["inputs"] == [{"path": str(data), "bytes": 3, "sha256": sha256_of_abc}]


def test_plain_makes_arrays_scalars_and_nan_fit_for_json() -> None:
    value = {"a": np.array([1.0, np.nan]), "b": (np.int64(2), Path("x")), 3: {True}}
    assert plain(value) == {"a": [1.0, None], "b": [2, "x"], "3": [True]}
