"""Stacks of MTZ files, one a frame: phases, symmetry, points and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.supercell import supercell
from unstill.errors import FormatError, InputError
from unstill.io import mtz_stack, open_mtz_stack, write_bragg_mtz, write_frame_mtz

CRYSTAL = Crystal((11.0, 13.0, 15.0, 90.0, 90.0, 90.0), "P 21 21 21")
DIVISIONS = (2, 1, 1)
INDEX = friedel_half(CRYSTAL, 3.0, DIVISIONS)


def frame(seed: int, index: np.ndarray = INDEX, n_atoms: int = 12) -> np.ndarray:
    """F of point atoms at random places of a supercell, by the plain sum."""
    rng = np.random.default_rng(seed)
    strength, places = rng.uniform(5, 9, n_atoms), rng.random((n_atoms, 3))
    found: np.ndarray = np.exp(2j * np.pi * (index @ places.T)) @ strength
    return found


def write_raw(
    path: Path,
    crystal: Crystal,
    index: np.ndarray,
    columns: dict[str, tuple[str, np.ndarray]],
    missing: float = np.nan,
) -> Path:
    """Write any columns with gemmi alone; label: (type, values)."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.valm = missing
    mtz.spacegroup = gemmi.SpaceGroup(crystal.space_group)
    mtz.add_dataset("test")
    mtz.set_cell_for_all(gemmi.UnitCell(*crystal.unit_cell))
    for label, (kind, _) in columns.items():
        mtz.add_column(label, kind)
    values = [column[:, None] for _, column in columns.values()]
    mtz.set_data(np.concatenate([index, *values], axis=1).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


def phased(f: np.ndarray, labels: tuple[str, str] = ("FC", "PHIC")) -> dict:
    return {
        labels[0]: ("F", np.abs(f)),
        labels[1]: ("P", np.degrees(np.angle(f))),
    }


@pytest.fixture
def stack(tmp_path) -> Callable[[int], list[Path]]:
    def write(count: int) -> list[Path]:
        paths = [tmp_path / f"frame{number}.mtz" for number in range(count)]
        for number, path in enumerate(paths):
            write_frame_mtz(CRYSTAL, DIVISIONS, INDEX, frame(number), path)
        return paths

    return write


def test_frames_of_a_supercell_come_back_with_their_phases(stack) -> None:
    found = open_mtz_stack(stack(3), crystal=CRYSTAL)
    assert found.divisions == DIVISIONS
    assert found.crystal == CRYSTAL
    assert found.n_members == 3
    assert np.any(found.index[:, 0] % 2 == 1)  # half-integer h of the unit cell
    np.testing.assert_array_equal(found.index, INDEX)
    members = list(found.members())
    assert len(members) == 3
    for number, member in enumerate(members):
        assert member.f_mean.dtype == np.complex128
        np.testing.assert_allclose(member.f_mean, frame(number), atol=2e-5)
        np.testing.assert_allclose(member.f_squared, np.abs(member.f_mean) ** 2, rtol=1e-14)
        assert (member.weight, member.n_frames) == (1.0, 1)
    said = found.describe()
    assert (said["n_files"], said["columns"]) == (3, ["FC", "PHIC"])


def test_order_and_choice_of_friedel_mates_do_not_matter(tmp_path, stack) -> None:
    rng = np.random.default_rng(5)
    order = rng.permutation(len(INDEX))
    sign = rng.choice([-1, 1], len(INDEX))[:, None]
    paths = stack(2)
    shuffled, whole = tmp_path / "shuffled.mtz", tmp_path / "whole.mtz"
    mixed = (sign * INDEX)[order]
    write_frame_mtz(CRYSTAL, DIVISIONS, mixed, frame(1, mixed), shuffled)
    sphere = np.concatenate([INDEX, -INDEX])
    write_frame_mtz(CRYSTAL, DIVISIONS, sphere, frame(1, sphere), whole)
    # The first file may be any of them.
    for files in ([*paths, shuffled, whole], [whole, shuffled, paths[1]]):
        found = open_mtz_stack(files, crystal=CRYSTAL)
        np.testing.assert_array_equal(found.index, INDEX)
        for member in list(found.members())[1:]:
            np.testing.assert_allclose(member.f_mean, frame(1), atol=2e-5)


@pytest.mark.parametrize(
    ("cell", "group"),
    [
        ((11.0, 13.0, 15.0, 90.0, 90.0, 90.0), "P 21 21 21"),
        ((12.0, 12.0, 17.0, 90.0, 90.0, 90.0), "P 43"),
        ((12.0, 12.0, 17.0, 90.0, 90.0, 120.0), "P 31 2 1"),
        ((14.0, 11.0, 13.0, 90.0, 105.0, 90.0), "C 1 2 1"),
    ],
)
@pytest.mark.parametrize("absences", [False, True])
def test_an_asymmetric_unit_is_expanded_as_the_sum_over_all_atoms_says(
    tmp_path, cell, group, absences
) -> None:
    crystal = Crystal(cell, group)
    rng = np.random.default_rng(3)
    strength, places = rng.uniform(5, 9, 5), rng.random((5, 3))
    operations = gemmi.SpaceGroup(group).operations()
    mates = np.array([[op.apply_to_xyz(x.tolist()) for x in places] for op in operations])

    def direct(hkl: np.ndarray) -> np.ndarray:
        return np.einsum("j,nhj->h", strength, np.exp(2j * np.pi * (hkl @ mates.mT)))

    half = friedel_half(crystal, 2.0)
    everything = np.concatenate([half, -half[1:]])
    asu = gemmi.ReciprocalAsu(crystal.group)
    absent = operations.systematic_absences(everything)
    inside = np.array([asu.is_in(row) for row in everything.tolist()])
    hkl = everything[inside & (absences | ~absent)]
    assert len(hkl) < 0.7 * len(half)
    path = write_raw(tmp_path / "asu.mtz", crystal, hkl, phased(direct(hkl)))

    found = open_mtz_stack([path], crystal=crystal)
    assert found.divisions == (1, 1, 1)
    expected = half if absences else half[~operations.systematic_absences(half)]
    np.testing.assert_array_equal(found.index, expected)
    (member,) = found.members()
    np.testing.assert_allclose(member.f_mean, direct(expected), atol=1e-4)
    # Not for want of phases that differ from what amplitudes alone would give.
    assert np.abs(np.abs(direct(expected)) - direct(expected)).max() > 10


def test_our_own_bragg_file_is_one_frame_of_the_unit_cell_without_the_origin(tmp_path) -> None:
    crystal = Crystal((12.0, 12.0, 17.0, 90.0, 90.0, 90.0), "P 43")
    rng = np.random.default_rng(4)
    places = rng.random((4, 3))
    mates = np.array(
        [[op.apply_to_xyz(x.tolist()) for x in places] for op in crystal.group.operations()]
    )
    hkl = friedel_half(crystal, 2.5)[1:]
    f = np.exp(2j * np.pi * (hkl @ mates.mT)).sum(axis=(0, 2)) * 6
    write_bragg_mtz(crystal, hkl, f, tmp_path / "f.mtz")
    found = open_mtz_stack([tmp_path / "f.mtz"], crystal=crystal)
    present = ~crystal.group.operations().systematic_absences(hkl)
    np.testing.assert_array_equal(found.index, hkl[present])
    (member,) = found.members()
    np.testing.assert_allclose(member.f_mean, f[present], atol=1e-4)


def test_a_wrong_space_group_in_the_file_is_noticed(tmp_path) -> None:
    index = friedel_half(CRYSTAL, 3.0)
    path = write_raw(tmp_path / "f.mtz", CRYSTAL, index, phased(frame(0, index)))
    with pytest.raises(InputError, match=r"f\.mtz .* contradict one another"):
        open_mtz_stack([path], crystal=CRYSTAL)


def test_other_reflections_are_refused_with_file_and_count(tmp_path, stack) -> None:
    paths = stack(2)
    fewer, more = tmp_path / "fewer.mtz", tmp_path / "more.mtz"
    write_frame_mtz(CRYSTAL, DIVISIONS, INDEX[:-3], frame(0, INDEX[:-3]), fewer)
    larger = np.concatenate([INDEX[1:], [[90, 0, 0], [91, 0, 0]]])
    write_frame_mtz(CRYSTAL, DIVISIONS, larger, frame(0, larger), more)
    for path, counts in ((fewer, "3 missing and 0 more"), (more, "1 missing and 2 more")):
        members = open_mtz_stack([*paths, path], crystal=CRYSTAL).members()
        next(members)
        next(members)
        with pytest.raises(InputError, match=rf"{path.name} holds other .* {counts}"):
            next(members)


@pytest.mark.parametrize("column", ["FC", "PHIC"])
@pytest.mark.parametrize("missing", [np.nan, -999.0])
def test_a_reflection_without_a_number_is_missing(tmp_path, stack, column, missing) -> None:
    columns = phased(frame(0))
    columns[column][1][[4, 9]] = missing
    cell = supercell(CRYSTAL, DIVISIONS)
    path = write_raw(tmp_path / "mnf.mtz", cell, INDEX, columns, missing)
    with pytest.raises(InputError, match=r"mnf\.mtz .* 2 missing and 0 more"):
        list(open_mtz_stack([*stack(1), path], crystal=CRYSTAL).members())
    columns[column][1][:] = missing
    write_raw(path, cell, INDEX, columns, missing)
    with pytest.raises(FormatError, match="no numbers in FC and PHIC"):
        open_mtz_stack([path], crystal=CRYSTAL)


def test_another_cell_is_refused(tmp_path, stack) -> None:
    paths = stack(2)
    with pytest.raises(InputError, match=r"wrong cell: frame0\.mtz does not belong"):
        open_mtz_stack(paths, crystal=Crystal((11.0, 13.0, 16.0, 90.0, 90.0, 90.0)))
    with pytest.raises(InputError, match="wrong cell"):
        open_mtz_stack(paths, crystal=CRYSTAL, divisions=(3, 1, 1))
    assert open_mtz_stack(paths, crystal=CRYSTAL, divisions=(2, 1, 1)).divisions == (2, 1, 1)
    other = tmp_path / "other.mtz"
    write_frame_mtz(CRYSTAL, (2, 2, 1), INDEX, frame(0), other)
    with pytest.raises(InputError, match=r"wrong cell: other\.mtz is of another cell than frame0"):
        open_mtz_stack([*paths, other], crystal=CRYSTAL)


def test_the_columns_are_the_usual_ones_or_those_that_are_named(tmp_path) -> None:
    cell = supercell(CRYSTAL, DIVISIONS)
    columns = (
        phased(frame(2), ("FWT", "PHWT"))
        | phased(frame(1), ("F-model", "PHIF-model"))
        | phased(frame(3), ("X", "Y"))
    )
    many = write_raw(tmp_path / "many.mtz", cell, INDEX, columns)
    odd = write_raw(tmp_path / "odd.mtz", cell, INDEX, phased(frame(3), ("AMP", "ANGLE")))
    for path, given, seed, chosen in (
        (many, None, 1, ("F-model", "PHIF-model")),
        (many, ("X", "Y"), 3, ("X", "Y")),
        (odd, None, 3, ("AMP", "ANGLE")),
    ):
        found = open_mtz_stack([path], crystal=CRYSTAL, columns=given)
        assert found.columns == chosen
        np.testing.assert_allclose(next(found.members()).f_mean, frame(seed), atol=2e-5)
    with pytest.raises(InputError, match=r"odd\.mtz has no amplitudes F-model with phases"):
        open_mtz_stack([many, odd], crystal=CRYSTAL)


@pytest.mark.parametrize(("left", "lacking"), [("FC", "phases"), ("PHIC", "amplitudes")])
def test_a_file_without_amplitudes_or_phases_is_refused_with_its_columns(
    tmp_path, left, lacking
) -> None:
    columns = {left: phased(frame(0))[left]}
    path = write_raw(tmp_path / "half.mtz", supercell(CRYSTAL, DIVISIONS), INDEX, columns)
    with pytest.raises(FormatError, match=rf"holds no {lacking}; found columns .*{left} \("):
        open_mtz_stack([path], crystal=CRYSTAL)


def test_damaged_missing_and_no_files_are_refused_at_once(tmp_path, stack) -> None:
    paths = stack(2)
    with pytest.raises(InputError, match="no MTZ file"):
        open_mtz_stack([], crystal=CRYSTAL)
    with pytest.raises(FileNotFoundError):
        open_mtz_stack([*paths, tmp_path / "none.mtz"], crystal=CRYSTAL)
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"frame1\.mtz"):
        open_mtz_stack(paths, crystal=CRYSTAL)


def test_files_are_read_one_at_a_time_and_anew_in_each_pass(stack, monkeypatch) -> None:
    paths = stack(4)
    read: list[str] = []
    plain = mtz_stack.read_phased_mtz

    def noted(path, columns=None):
        read.append(path.name)
        return plain(path, columns)

    monkeypatch.setattr(mtz_stack, "read_phased_mtz", noted)
    found = open_mtz_stack(paths, crystal=CRYSTAL)
    assert read == ["frame0.mtz"]
    read.clear()
    members = found.members()
    for number in range(3):
        next(members)
        assert read == [path.name for path in paths[: number + 1]]
    read.clear()
    assert len(list(found.members())) == 4
    assert read == [path.name for path in paths]


def test_indices_that_do_not_fit_are_not_written(tmp_path) -> None:
    with pytest.raises(InputError, match="do not fit"):
        write_frame_mtz(CRYSTAL, DIVISIONS, INDEX[1:], frame(0), tmp_path / "f.mtz")
    assert list(tmp_path.iterdir()) == []
