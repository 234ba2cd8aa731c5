"""``unstill guide --prior``: a predictor in its own process leads, in the frame of the model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.spatial.transform
from small_crystal import D_MIN, small_crystal, write_small
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.guidance.predictors import cards, opening
from unstill.guidance.start import starting_model
from unstill.io.structure_files import read_structure

HERE = Path(__file__).parent
TURN = scipy.spatial.transform.Rotation.from_euler("xyz", [70, 20, -50], degrees=True).as_matrix()


@pytest.fixture(autouse=True)
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    """The predictor `remembering` is installed, and no other."""
    card = cards.Card(
        name="remembering",
        title="Remembering",
        role="prior",
        licence="MIT",
        source="https://example.org",
        requirements=(),
        bare=(),
        module="numpy",
        python=("3.11", "3.99"),
        megabytes=0,
        weights="places.json",
        extra_files={},
        options={},
        worker=HERE / "remembering_worker.py",
    )
    find = opening.find_card
    monkeypatch.setattr(
        opening, "find_card", lambda name: card if name == "remembering" else find(name)
    )
    monkeypatch.setenv("UNSTILL_PREDICTOR_PYTHON_REMEMBERING", sys.executable)


def weights(folder: Path, ends_at: float = 0.0) -> Path:
    """The start of the small crystal, elsewhere and turned."""
    model = starting_model(small_crystal())
    coord = model.atoms.coord[0].astype(float) @ TURN.T + [40.0, -3.0, 9.0]
    path = folder / "places.json"
    path.write_text(json.dumps({"coord": coord.tolist(), "ends_at": ends_at}))
    return path


def guide(*arguments: object) -> tuple[int, str, str]:
    common = ["--resolution", D_MIN, "--noise", 0.7, "--strength", 1, "--ensemble", 4, "--json"]
    found = CliRunner().invoke(
        complete_app(), [str(one) for one in ("guide", *arguments, *common)]
    )
    return found.exit_code, found.stdout, found.stderr


def test_a_predictor_guides_in_the_frame_of_the_model(tmp_path: Path) -> None:
    files = write_small(tmp_path)
    out = tmp_path / "out"
    code, text, error = guide(
        *files, "--prior", "remembering", "--weights", weights(tmp_path), "-o", out
    )
    assert code == 0, error
    found = json.loads(text)
    assert found["provenance"]["parameters"]["prior"] == "remembering"
    assert found["after"]["held_out"] > found["before"]["held_out"]
    assert found["after"]["bond_rmsd"] < 0.015
    made, start = read_structure(out / "ensemble.cif"), small_crystal()
    kept = np.isin(start.atoms.altloc_id, ["", "A"])
    for name in ("chain_id", "res_id", "ins_code", "res_name", "atom_name"):
        np.testing.assert_array_equal(
            made.atoms.get_annotation(name), start.atoms.get_annotation(name)[kept]
        )
    # The backbone is where the model has it, not where the predictor does.
    backbone = np.isin(made.atoms.atom_name, ["N", "CA", "C"])
    apart = np.linalg.norm((made.coord - start.coord[:, kept])[:, backbone], axis=-1)
    assert np.sqrt((apart**2).mean()) < 0.5


def test_a_predictor_that_dies_is_started_again_once(tmp_path: Path) -> None:
    files = write_small(tmp_path)
    plain, broken = tmp_path / "plain", tmp_path / "broken"
    for folder, ends_at in ((plain, 0.0), (broken, 0.4)):
        folder.mkdir()
        path = weights(folder, ends_at)
        code, _, error = guide(
            *files, "--prior", "remembering", "--weights", path, "-o", folder / "out"
        )
        assert code == 0, error
    assert (broken / "places.json.done").exists()
    a, b = (read_structure(folder / "out" / "ensemble.cif") for folder in (plain, broken))
    np.testing.assert_array_equal(a.coord, b.coord)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    files = write_small(tmp_path)
    out = tmp_path / "out"
    cases = {
        "weights of remembering are not there": (
            "--prior", "remembering", "--weights", tmp_path / "none.pt",
        ),
        "there is no predictor of that name": ("--prior", "alphafold9"),
        "unstill predictor install boltz2": ("--prior", "boltz2"),
        "the built-in prior has no weights": ("--weights", weights(tmp_path)),
    }  # fmt: skip
    for words, options in cases.items():
        code, _, error = guide(*files, *options, "-o", out)
        assert code == 1, words
        assert words in error
        assert "Traceback" not in error
        assert not out.exists()
