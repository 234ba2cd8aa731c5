"""What would make a diffuse map silently wrong, or fill the memory, is refused."""

from __future__ import annotations

import mdtraj
import numpy as np
import pytest
from moving_atoms import CRYSTAL, DIVISIONS, make_frames

from unstill.crystal import Crystal
from unstill.diffuse import diffuse_intensity, stream_block_sums
from unstill.errors import InputError, UnstillWarning
from unstill.io import open_trajectory
from unstill.io.xdr_trajectory import open_xtc


def test_a_space_group_that_the_cell_does_not_have_is_never_averaged_over() -> None:
    tetragonal = Crystal(CRYSTAL.unit_cell, "P 4")
    sums = stream_block_sums(make_frames(), (1, 1, 1), 3.0, crystal=tetragonal)
    assert diffuse_intensity(sums, laue_average=False).n_measured > 0
    with pytest.raises(InputError, match="does not fit the unit cell"):
        diffuse_intensity(sums)


@pytest.mark.parametrize("value", [9.96921e36, -1e30, 1.1e6])
def test_fill_values_for_coordinates_are_refused_with_their_frame(value: float) -> None:
    frames = make_frames(6)
    frames.coord[4, 3, 1] = value
    with pytest.raises(InputError, match="out of all bounds") as error:
        stream_block_sums(frames, DIVISIONS, 3.0)
    assert "frame 4" in str(error.value.found)


@pytest.mark.parametrize("d_min", [0.01, 1e-3, 1e-9])
def test_a_resolution_that_the_memory_cannot_hold_is_refused_at_once(d_min: float) -> None:
    with pytest.raises(InputError, match="memory"):
        stream_block_sums(make_frames(4), DIVISIONS, d_min)


def test_a_resolution_that_holds_the_origin_only_is_refused() -> None:
    with pytest.raises(InputError, match="no point but the origin"):
        stream_block_sums(make_frames(4), DIVISIONS, 100.0)


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_weights_whose_squares_are_no_numbers_are_refused(scale: float) -> None:
    with pytest.raises(InputError, match="out of range"):
        stream_block_sums(make_frames(4), DIVISIONS, 3.0, weights=np.full(4, scale))


def test_all_the_weight_on_one_frame_is_refused_before_the_work() -> None:
    frames = make_frames(4)
    with pytest.raises(InputError, match="variance of one frame"):
        stream_block_sums(frames, DIVISIONS, 3.0, weights=np.array([0.0, 0, 1, 0]))
    # Only the reference of the drift was read.
    assert frames.read in ([], [(0, 1)])


def test_an_address_that_is_none_is_refused_without_waiting_for_dask() -> None:
    pytest.importorskip("distributed")
    for address in ("nope", "tcp://", "tcp://host", "http://a b:1"):
        with pytest.raises(InputError, match="not the address"):
            stream_block_sums(make_frames(4), DIVISIONS, 3.0, dask=address)


def test_a_trajectory_given_twice_is_told(tmp_path) -> None:
    frames = make_frames(3)
    for name in ("run.xtc", "other.xtc"):
        with mdtraj.formats.XTCTrajectoryFile(str(tmp_path / name), "w") as file:
            file.write((frames.coord / 10).astype(np.float32))
    topology = tmp_path / "top.pdb"
    lines = [
        f"HETATM{number:5d}  {symbol:3} ALA A{number:4d}    {0:8.3f}{0:8.3f}{0:8.3f}"
        f"  1.00  0.00          {symbol:>2}"
        for number, symbol in enumerate(frames.atoms.element, start=1)
    ]
    topology.write_text("\n".join([*lines, "END"]) + "\n")
    (tmp_path / "link.xtc").symlink_to(tmp_path / "run.xtc")
    with pytest.warns(UnstillWarning, match="given more than once"):
        twice = open_trajectory(topology, [tmp_path / "run.xtc", tmp_path / "link.xtc"])
    assert twice.n_frames == 6
    assert open_trajectory(topology, [tmp_path / "run.xtc", tmp_path / "other.xtc"]).n_frames == 6


def test_an_xtc_file_whose_box_is_zero_has_no_box(tmp_path) -> None:
    frames = make_frames(2)
    with mdtraj.formats.XTCTrajectoryFile(str(tmp_path / "run.xtc"), "w") as file:
        file.write((frames.coord / 10).astype(np.float32), box=np.zeros((2, 3, 3), np.float32))
    with open_xtc(tmp_path / "run.xtc").open() as reader:
        coord, box = reader.frame(1)
    assert box is None
    np.testing.assert_allclose(coord, frames.coord[1], atol=0.006)
