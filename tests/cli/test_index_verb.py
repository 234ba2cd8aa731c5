"""``unstill index`` on small CBF images: files that are written, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from scipy.special import ndtr
from typer.testing import CliRunner, Result

from unstill.cli.index import register
from unstill.crystal import Crystal
from unstill.experiment import (
    Beam,
    Detector,
    Experiment,
    FrameHeader,
    Goniometer,
    Lattice,
    Panel,
    Scan,
)
from unstill.experiment.predict import predict_spots
from unstill.experiment.rotation import rotation_about
from unstill.io.dials_expt import read_expt, write_expt
from unstill.io.dials_refl import read_refl
from unstill.io.image_writers.cbf import write_cbf

CELL = "29,29,38,90,90,90"
CRYSTAL = Crystal((29.0, 29.0, 38.0, 90.0, 90.0, 90.0), "P 41")
N_FRAMES = 24
CENTER = (130.4, 126.2)
KEYS = {
    "n_spots", "n_cut", "n_at_ends", "n_on_axis", "n_judged", "n_indexed",
    "share", "rmsd_px", "rmsd_phi", "unit_cell", "space_group",
    "beam_center", "distance", "second_lattice", "candidates", "outputs", "warnings",
    "provenance",
}  # fmt: skip


def unstill(*arguments: object) -> Result:
    app = typer.Typer()

    @app.callback()
    def _root() -> None:
        """Hold one verb as the program does."""

    register(app)
    return CliRunner().invoke(app, ["index", *(str(argument) for argument in arguments)])


def answer(*arguments: object) -> dict[str, Any]:
    found = unstill(*arguments, "--json")
    assert found.exit_code == 0, found.stderr
    parsed: dict[str, Any] = json.loads(found.stdout)
    return parsed


@pytest.fixture(scope="module")
def truth() -> Experiment:
    origin = (-CENTER[0] * 0.5, CENTER[1] * 0.5, -150.0)
    panel = Panel(origin, (1, 0, 0), (0, -1, 0), (0.5, 0.5), (256, 256))
    u_matrix = rotation_about((0.6, 0.0, 0.8), 37.0) @ rotation_about((0.0, 1.0, 0.0), 21.0)
    return Experiment(
        Beam(1.0),
        Detector((panel,)),
        Goniometer((1.0, 0.0, 0.0)),
        Scan(N_FRAMES, 10.0, 0.5, exposure_times=np.array([0.1])),
        Lattice.oriented(CRYSTAL, u_matrix),
    )


@pytest.fixture(scope="module")
def images(truth: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of CBF images whose headers are off by 2 pixels and 1 mm."""
    folder = tmp_path_factory.mktemp("sweep")
    grid = np.stack(np.meshgrid(*[np.arange(-13, 14)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = grid[np.any(grid != 0, axis=1) & (CRYSTAL.d(grid.astype(float)) >= 3.0)]
    spots = predict_spots(truth, hkl)
    rng = np.random.default_rng(0)
    for i in range(N_FRAMES):
        expected = np.full((256, 256), 2.0)
        share = ndtr((i + 1 - spots.frame) / 0.7) - ndtr((i - spots.frame) / 0.7)
        for k in np.flatnonzero(share > 1e-3):
            across = (np.diff(ndtr((np.arange(257) - at) / 0.9)) for at in
                      (spots.slow[k], spots.fast[k]))  # fmt: skip
            expected += 400 * share[k] * np.outer(*across)
        header = FrameHeader(
            phi_start=10.0 + 0.5 * i, phi_width=0.5, exposure_time=0.1, wavelength=1.0,
            distance=151.0, beam_center=(CENTER[0] + 2, CENTER[1]), pixel_size=(0.5, 0.5),
            image_size=(256, 256),
        )  # fmt: skip
        write_cbf(folder / f"run_{i + 1:03d}.cbf", rng.poisson(expected).astype(np.int32), header)
    return folder


def test_images_become_an_indexed_experiment(
    images: Path, truth: Experiment, tmp_path: Path
) -> None:
    found = answer(
        images / "run_###.cbf", "--unit-cell", CELL, "--space-group", "P41", "-o", tmp_path / "new"
    )
    assert found.keys() >= KEYS
    assert found["share"] >= 0.98
    assert max(found["rmsd_px"].values()) <= 0.2
    assert found["n_at_ends"] > 0
    left_out = found["n_cut"] + found["n_at_ends"] + found["n_on_axis"]
    assert found["n_judged"] == found["n_spots"] - left_out
    assert found["distance"] == pytest.approx(150.0, abs=0.4)
    assert found["beam_center"] == pytest.approx(CENTER, abs=0.3)
    assert found["rotation_axis"] == [1.0, 0.0, 0.0]
    assert found["second_lattice"] is None

    written = read_expt(Path(found["outputs"]["expt"]))[0]
    assert written.images.template.endswith("run_###.cbf")
    assert written.scan is not None
    assert written.scan.first_image == 1
    assert written.lattice is not None
    assert truth.lattice is not None
    change = np.linalg.inv(truth.lattice.a_matrix) @ written.lattice.a_matrix
    np.testing.assert_allclose(change, np.rint(change), atol=0.02)

    table = read_refl(Path(found["outputs"]["refl"]))
    assert len(table) == found["n_spots"]
    assert (table["id"] == 0).sum() == found["n_indexed"]
    content = json.loads(Path(found["outputs"]["index"]).read_text())
    assert content["history"][0][0]["step"] == "search"
    assert content["provenance"]["command"].startswith("unstill index")


def test_a_geometry_file_is_a_start_and_the_cell_may_be_unknown(
    images: Path, truth: Experiment, tmp_path: Path
) -> None:
    start = tmp_path / "start.expt"
    write_expt(start, [truth.replace(lattice=None)])
    found = answer(images / "run_*.cbf", "--expt", start, "-o", tmp_path / "out.expt")
    assert found["share"] >= 0.98
    assert found["candidates"][0]["lattice"] == "tP"
    assert found["unit_cell"][2] == pytest.approx(38.0, rel=0.01)
    assert (tmp_path / "out.refl").is_file()
    assert (tmp_path / "out_index.json").is_file()


def refused(*arguments: object) -> dict[str, str]:
    found = unstill(*arguments, "--json")
    assert found.exit_code == 1
    error: dict[str, str] = json.loads(found.stdout)["error"]
    assert error["what"]
    assert error["fix"]
    return error


def test_bad_input_is_refused_in_three_parts(images: Path, tmp_path: Path) -> None:
    template = images / "run_###.cbf"
    out = ("-o", tmp_path / "none")
    assert (
        "--unit-cell takes 6 finite numbers"
        in refused(template, "--unit-cell", "29,29", *out)["what"]
    )
    assert "--beam-center" in refused(template, "--beam-center", "here", *out)["what"]
    contradiction = refused(template, "--unit-cell", "20,30,40,90,90,90", "--space-group", "P41")
    assert "contradicts" in contradiction["what"]
    refused(images / "other_###.cbf", *out)
    few = refused(images / "run_001.cbf", "--sigma-strong", "900", *out)
    assert "too few spots" in few["what"]
    none = refused(template, "--d-min", "5", "--d-max", "2", *out)
    assert "5" in none["found"]
    assert "finite" in refused(template, "--beam-center", "nan,3", *out)["what"]
    long = refused(template, "--unit-cell", "3000,4000,5000,90,90,90", *out)
    assert "overlap" in long["what"]
    assert not (tmp_path / "none").exists()


def test_a_header_without_wavelength_is_told(tmp_path: Path) -> None:
    header = FrameHeader(
        phi_start=0.0, phi_width=1.0, distance=100.0, beam_center=(64.0, 64.0),
        pixel_size=(0.5, 0.5), image_size=(128, 128),
    )  # fmt: skip
    image = np.ones((128, 128), np.int32)
    write_cbf(tmp_path / "one_1.cbf", image, header)
    error = refused(tmp_path / "one_1.cbf", "-o", tmp_path / "out")
    assert "wavelength" in error["what"]
    assert "--wavelength" in error["fix"]
