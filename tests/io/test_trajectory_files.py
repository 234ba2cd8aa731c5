"""Trajectory formats against MDAnalysis, and files that break off."""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path
from typing import Any

import MDAnalysis
import MDAnalysisTests.datafiles as data
import mdtraj
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.ensembles import Trajectory
from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.io import open_trajectory, read_structure

FOLDER = Path(data.GRO).parent
CASES = {
    "xtc": (data.GRO, data.XTC),
    "trr": (data.GRO, data.TRR),
    "dcd": (data.PSF, data.DCD),
    "dcd in a triclinic box": (data.PSF_NAMD_TRICLINIC, data.DCD_NAMD_TRICLINIC),
    "netcdf": (str(FOLDER / "Amber/bala.prmtop"), str(FOLDER / "Amber/bala.ncdf")),
    "pdb": (str(FOLDER / "nmr_neopetrosiamide.pdb"),) * 2,
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def quietly(*arguments: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_trajectory(*arguments, **options)


@pytest.mark.parametrize("case", CASES)
def test_frames_and_boxes_are_those_of_mdanalysis(case) -> None:
    topology, path = CASES[case]
    found = quietly(topology, [path], selection=None)
    universe = MDAnalysis.Universe(topology, path)
    assert found.n_frames == len(universe.trajectory)
    kept = found.files[0].n_atoms != found.n_atoms
    stored = found.stored if kept else slice(None)
    for frame in sorted({0, found.n_frames // 2, found.n_frames - 1}):
        step = universe.trajectory[frame]
        chunk = found.frame(frame)
        np.testing.assert_allclose(chunk.coord[0], step.positions[stored], atol=1e-4)
        if step.dimensions is None or not step.dimensions[:3].any():
            assert chunk.box is None or case == "pdb"
        else:
            assert chunk.box is not None
            expected = MDAnalysis.lib.mdamath.triclinic_vectors(step.dimensions)
            np.testing.assert_allclose(chunk.box[0], expected, atol=1e-4)


def test_elements_follow_from_masses_or_names() -> None:
    psf = quietly(data.PSF, [data.DCD])
    masses = MDAnalysis.Universe(data.PSF).atoms.masses
    weights = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "S": 32.06}
    np.testing.assert_allclose([weights[e] for e in psf.atoms.element], masses, atol=0.02)
    # The GRO file of the same protein has no elements; names tell the same.
    gro = quietly(data.GRO, [data.XTC], selection="protein")
    counts = [np.unique(t.atoms.element, return_counts=True) for t in (psf, gro)]
    np.testing.assert_array_equal(counts[0][0], counts[1][0])
    heavy = counts[0][0] != "H"
    np.testing.assert_array_equal(counts[0][1][heavy], counts[1][1][heavy])


def test_virtual_sites_are_left_out_with_a_warning() -> None:
    with pytest.warns(UnstillWarning, match="11084 virtual sites"):
        found = open_trajectory(data.GRO, [data.XTC])
    assert found.n_atoms == 47681 - 11084
    assert "VS" not in found.atoms.element


def test_stride_and_selection_across_files(tmp_path) -> None:
    whole = mdtraj.load(data.XTC, top=data.GRO)
    whole[:4].save_xtc(str(tmp_path / "a.xtc"))
    whole[4:5].save_dcd(str(tmp_path / "b.dcd"))
    whole[5:].save_trr(str(tmp_path / "c.trr"))
    files = [tmp_path / name for name in ("a.xtc", "b.dcd", "c.trr")]
    found = quietly(data.GRO, files, stride=3, selection="protein and name CA")
    assert found.n_frames == 4
    indices = whole.topology.select("protein and name CA")
    read = np.concatenate([chunk.coord for chunk in found.chunks(3)])
    np.testing.assert_allclose(read, 10 * whole.xyz[::3, indices], atol=2e-3)


@pytest.mark.parametrize("writer", ["xtc", "trr", "dcd", "netcdf"])
def test_what_mdtraj_writes_is_read_back_with_its_box(tmp_path, writer) -> None:
    rng = np.random.default_rng(2)
    topology = mdtraj.Topology()
    residue = topology.add_residue("HOH", topology.add_chain())
    for name in ("O", "H1", "H2", "O2"):
        topology.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residue)
    frames = mdtraj.Trajectory(
        rng.normal(size=(6, 4, 3)),
        topology,
        unitcell_lengths=rng.uniform(2, 3, (6, 3)),
        unitcell_angles=rng.uniform(70, 110, (6, 3)),
    )
    path = tmp_path / f"x.{'nc' if writer == 'netcdf' else writer}"
    getattr(frames, f"save_{writer}")(str(path))
    frames[0].save_pdb(str(tmp_path / "x.pdb"))
    found = quietly(tmp_path / "x.pdb", [path])
    chunk = next(found.chunks(6))
    np.testing.assert_allclose(chunk.coord, 10 * frames.xyz, atol=6e-3)
    np.testing.assert_allclose(chunk.box, 10 * frames.unitcell_vectors, atol=2e-3)


def test_charmm_shape_matrices_give_the_right_cell() -> None:
    found = quietly(data.PSF_TRICLINIC, [data.DCD_TRICLINIC])
    universe = MDAnalysis.Universe(data.PSF_TRICLINIC, data.DCD_TRICLINIC)
    for chunk, step in zip(found.chunks(1), universe.trajectory, strict=True):
        # The file keeps the symmetric matrix in the frame of its coordinates.
        np.testing.assert_allclose(chunk.box[0], chunk.box[0].T)
        a, b, c = chunk.box[0]
        lengths = [np.linalg.norm(v) for v in (a, b, c)]
        angles = [
            np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))
            for u, v in ((b, c), (a, c), (a, b))
        ]
        np.testing.assert_allclose([*lengths, *angles], step.dimensions, rtol=1e-4)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory) -> dict[str, tuple[Path, Path, int]]:
    """Topology, whole trajectory of 8 frames and of 20 atoms, by suffix."""
    folder = tmp_path_factory.mktemp("small")
    whole = mdtraj.load(data.XTC, top=data.GRO, atom_indices=range(20))[[0, 1, 2, 3, 4, 5, 6, 7]]
    whole[0].save_pdb(str(folder / "x.pdb"))
    for suffix, writer in (("xtc", "xtc"), ("trr", "trr"), ("dcd", "dcd"), ("nc", "netcdf")):
        getattr(whole, f"save_{writer}")(str(folder / f"x.{suffix}"))
    whole.save_pdb(str(folder / "models.pdb"))
    return {
        suffix: (folder / "x.pdb", folder / name, 8)
        for suffix, name in (
            ("xtc", "x.xtc"),
            ("trr", "x.trr"),
            ("dcd", "x.dcd"),
            ("nc", "x.nc"),
            ("pdb", "models.pdb"),
        )
    }


@given(fraction=st.floats(0, 0.999), suffix=st.sampled_from(["xtc", "trr", "dcd", "nc", "pdb"]))
def test_a_file_that_breaks_off_gives_its_whole_frames_and_names_the_break(
    tmp_path_factory, small_files, fraction, suffix
) -> None:
    topology, path, n_frames = small_files[suffix]
    whole = quietly(topology, [path])
    expected = next(whole.chunks(n_frames)).coord
    content = path.read_bytes()
    cut = tmp_path_factory.mktemp("cut") / path.name
    cut.write_bytes(content[: int(fraction * len(content))])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnstillWarning)
        try:
            found = open_trajectory(topology, [cut])
        except FormatError as error:
            assert error.fix  # noqa: PT017
            return
    texts = [str(w.message) for w in caught if issubclass(w.category, UnstillWarning)]
    read = list(found.chunks(3))
    np.testing.assert_array_equal(
        np.concatenate([c.coord for c in read]), expected[: found.n_frames]
    )
    if found.n_frames < n_frames and not ends_between_frames(cut, suffix, whole):
        assert any(re.search(rf"breaks off at frame {found.n_frames}\b", text) for text in texts)


def ends_between_frames(cut: Path, suffix: str, whole: Trajectory) -> bool:
    """Whether a format that does not announce its frames ends where one does."""
    content = cut.read_bytes()
    if suffix == "pdb":
        return b"ATOM" not in content.rpartition(b"ENDMDL")[2]
    return suffix in ("xtc", "trr") and len(content) in whole.files[0].index.offsets


@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd", "nc", "pdb"])
def test_half_a_last_frame_is_reported_with_its_number(tmp_path, small_files, suffix) -> None:
    topology, path, n_frames = small_files[suffix]
    content = path.read_bytes()
    cut = tmp_path / path.name
    cut.write_bytes(content[: len(content) - 100])
    with pytest.warns(UnstillWarning, match=f"breaks off at frame {n_frames - 1} "):
        found = open_trajectory(topology, [cut])
    assert found.n_frames == n_frames - 1


def test_frames_of_later_files_follow_a_break(tmp_path, small_files) -> None:
    topology, path, n_frames = small_files["xtc"]
    (tmp_path / "cut.xtc").write_bytes(path.read_bytes()[:-10])
    with pytest.warns(UnstillWarning, match="breaks off"):
        found = open_trajectory(topology, [tmp_path / "cut.xtc", path])
    assert found.n_frames == 2 * n_frames - 1
    np.testing.assert_array_equal(found.frame(n_frames - 1).coord, found.frame(0).coord)


def test_garbage_within_a_file_ends_it_there(tmp_path, small_files) -> None:
    topology, path, _ = small_files["trr"]
    content = bytearray(path.read_bytes())
    size = len(content) // 8
    content[3 * size : 3 * size + 4] = b"\xff" * 4
    (tmp_path / "x.trr").write_bytes(bytes(content))
    with pytest.warns(UnstillWarning, match=r"breaks off at frame 3 .*no frame begins"):
        found = open_trajectory(topology, [tmp_path / "x.trr"])
    assert found.n_frames == 3


@pytest.mark.parametrize("name", ["x.xtc", "x.trr", "x.dcd", "x.nc", "x.pdb", "x.avi"])
@pytest.mark.parametrize("content", [b"", b"not a trajectory at all\n" * 9, b"\0" * 400])
def test_foreign_files_are_refused_with_a_remedy(tmp_path, small_files, name, content) -> None:
    topology = small_files["xtc"][0]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError) as raised:
        open_trajectory(topology, [tmp_path / name])
    assert raised.value.fix


def test_a_topology_of_another_system_is_refused_with_both_counts(small_files) -> None:
    with pytest.raises(InputError, match=r"3341 atoms in adk.psf, 20 in x.xtc"):
        open_trajectory(data.PSF, [small_files["xtc"][1]])


def test_fixed_atoms_of_a_dcd_file_are_refused(tmp_path, small_files) -> None:
    topology, path, _ = small_files["dcd"]
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 4 + 4 + 8 * 4, 5)
    (tmp_path / "x.dcd").write_bytes(bytes(content))
    with pytest.raises(FormatError, match="5 fixed atoms"):
        open_trajectory(topology, [tmp_path / "x.dcd"])


def test_big_endian_dcd_files_are_read(tmp_path, small_files) -> None:
    topology, path, n_frames = small_files["dcd"]
    little = path.read_bytes()
    big = swapped_dcd(little, n_atoms=20)
    assert big != little
    (tmp_path / "x.dcd").write_bytes(big)
    first, second = (quietly(topology, [p]) for p in (path, tmp_path / "x.dcd"))
    for one, other in zip(first.chunks(n_frames), second.chunks(n_frames), strict=True):
        np.testing.assert_array_equal(one.coord, other.coord)
        np.testing.assert_array_equal(one.box, other.box)


def swapped_dcd(content: bytes, n_atoms: int) -> bytes:
    """Reverse the byte order of every number, record by record."""
    out, place, record = b"", 0, 0
    while place < len(content):
        (length,) = struct.unpack_from("<i", content, place)
        body = content[place + 4 : place + 4 + length]
        if record == 0:
            body = body[:4] + np.frombuffer(body[4:], "<i4").astype(">i4").tobytes()
        elif record == 1:
            body = np.frombuffer(body[:4], "<i4").astype(">i4").tobytes() + body[4:]
        elif record == 2:
            body = np.frombuffer(body, "<i4").astype(">i4").tobytes()
        elif length == 48:
            body = np.frombuffer(body, "<f8").astype(">f8").tobytes()
        else:
            assert length == 4 * n_atoms
            body = np.frombuffer(body, "<f4").astype(">f4").tobytes()
        marker = struct.pack(">i", length)
        out += marker + body + marker
        place += 8 + length
        record += 1
    return out


def test_models_of_a_structure_are_frames(small_files) -> None:
    _, path, n_frames = small_files["pdb"]
    alone = open_trajectory(path)
    assert alone.n_frames == n_frames
    np.testing.assert_allclose(alone.frame(3).coord[0], read_structure(path).coord[3])
    assert open_trajectory(path, stride=3, selection="name CA").n_frames == 3


def test_a_topology_alone_is_no_trajectory() -> None:
    with pytest.raises(InputError, match="no trajectory was given"):
        open_trajectory(data.GRO)


def test_real_xtc_and_dcd_of_one_protein_agree(unstill_data) -> None:
    folder = unstill_data / "nmr"
    xtc, dcd = (quietly(folder / "1l2y.cif", [folder / f"1l2y.{s}"]) for s in ("xtc", "dcd"))
    assert xtc.n_frames == dcd.n_frames == 38
    reference = read_structure(folder / "1l2y.cif").coord
    for found in (xtc, dcd):
        read = np.concatenate([chunk.coord for chunk in found.chunks(7)])
        np.testing.assert_allclose(read, reference, atol=6e-3)


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, small_files) -> None:
    import tracemalloc

    topology, path, n_frames = small_files["dcd"]
    found = quietly(topology, [path] * 50)
    peaks = []
    for files in (5, 50):
        part = quietly(topology, [path] * files)
        tracemalloc.start()
        for _ in part.chunks(4):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert found.n_frames == 50 * n_frames
    assert peaks[1] < peaks[0] + 200_000
