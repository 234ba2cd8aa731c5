"""Tables and results of Sampleworks, written here as it writes them."""

from __future__ import annotations

from pathlib import Path

import biotite.structure as bst
import biotite.structure.io.pdbx as pdbx
import numpy as np
import pytest

from unstill.errors import FormatError, InputError
from unstill.guidance.sampleworks import (
    SampleworksSegment,
    read_protein_configs,
    read_proteins,
    read_runs,
)
from unstill.io.mmcif import read_mmcif

CONFIGS = "protein,base_map_dir,selection,resolution,map_pattern,structure_pattern\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_proteins_are_read_with_paths_beside_the_table(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "proteins.csv",
        "name,structure,density,resolution\n 1vme , 1vme/a.cif,/maps/a.ccp4,1.8\n\n"
        "6b8x,b.pdb,b.ccp4,1.74\n",
    )
    one, two = read_proteins(path)
    assert (one.name, one.resolution) == ("1vme", 1.8)
    assert one.structure == tmp_path / "1vme/a.cif"
    assert one.density == Path("/maps/a.ccp4")
    assert (two.name, two.structure, two.resolution) == ("6b8x", tmp_path / "b.pdb", 1.74)


def test_configs_are_read_with_segments_and_names_of_files(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "protein_configs.csv",
        CONFIGS + "1vme,1vme_edited,chain A and resi 326-339;chain B and resi -3,1.8,"
        "m_{occ_str}_1.80A.ccp4,s_{occ_str}.cif\n",
    )
    (one,) = read_protein_configs(path)
    assert one.segments == (SampleworksSegment("A", 326, 339), SampleworksSegment("B", -3, -3))
    half = {"A": 0.5, "B": 0.5}
    assert one.map_path(tmp_path, half) == (
        tmp_path / "1vme_edited" / "m_0.5occA_0.5occB_1.80A.ccp4"
    )
    assert one.structure_path(tmp_path, {"A": 1}).name == "s_1.0occA.cif"


def test_the_published_segments_are_read(unstill_data: Path) -> None:
    path = unstill_data / "altloc" / "segments.csv"
    if not path.is_file():
        pytest.skip("altloc/segments.csv is not among the data")
    found = {one.protein: one for one in read_protein_configs(path)}
    assert list(found) == ["1vme", "4ole", "5sop", "6b8x"]
    assert found["6b8x"].segments == (SampleworksSegment("A", 180, 184),)
    assert found["4ole"].resolution == 2.52


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("protein,selection\n", "no base_map_dir"),
        ("", "lacks columns"),
        (CONFIGS + "x,d,resi 3,1.8,m,s\n", "line 2: 'resi 3'"),
        (CONFIGS + "x,d,chain A and resi 9-3,1.8,m,s\n", "ends before"),
        (CONFIGS + "x,d,chain A and resi 3-9,zero,m,s\n", "'zero'"),
        (CONFIGS + "x,d,chain A and resi 3-9,-1,m,s\n", "positive"),
        (CONFIGS + "x,d\n", "selection"),
    ],
)
def test_a_table_that_makes_no_sense_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_protein_configs(written(tmp_path, "t.csv", text))
    with pytest.raises(InputError, match="cannot be read"):
        read_proteins(tmp_path / "gone.csv")


def test_runs_are_read_from_the_output_tree(tmp_path: Path) -> None:
    trial = tmp_path / "1vme" / "boltz2_X-RAY_DIFFRACTION" / "pure_guidance" / "ens8_gw0.1"
    trial.mkdir(parents=True)
    atoms = bst.array(
        [
            bst.Atom([1.0, 2.0, 3.0], chain_id="A", res_id=5, res_name="GLY", atom_name="CA",
                     element="C")
        ]
    )  # fmt: skip
    members = bst.stack([atoms] * 8)
    members.coord += np.arange(8)[:, None, None]
    file = pdbx.CIFFile()
    pdbx.set_structure(file, members)
    file.write(trial / "refined.cif")
    written(trial, "losses.txt", "step,loss\n0,NA\n1,0.5\n2,0.25\n")
    steered = tmp_path / "6b8x" / "rf3" / "fk_steering" / "ens4_gw0.05_gd3"
    written(steered, "run.log", "Traceback\n")
    written(tmp_path / "6b8x" / "rf3" / "fk_steering" / "notes", "readme.txt", "not a run")
    first, second = read_runs(tmp_path)
    assert (first.protein, first.model, first.method) == ("1vme", "boltz2", "X-RAY DIFFRACTION")
    assert (first.scaler, first.n_members, first.strength) == ("pure_guidance", 8, 0.1)
    np.testing.assert_array_equal(first.losses, [np.nan, 0.5, 0.25])
    assert first.structure is not None
    ensemble = read_mmcif(first.structure)
    np.testing.assert_allclose(ensemble.coord[:, 0, 0], 1.0 + np.arange(8))
    assert (second.model, second.method, second.gradient_steps) == ("rf3", None, 3)
    assert second.structure is None
    assert second.losses.size == 0


def test_a_folder_without_runs_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run of Sampleworks"):
        read_runs(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_runs(tmp_path / "gone")
    trial = tmp_path / "a" / "protenix" / "pure_guidance" / "ens2_gw1"
    written(trial, "losses.txt", "step,loss\n0,much\n")
    with pytest.raises(FormatError, match="no step"):
        read_runs(tmp_path)
