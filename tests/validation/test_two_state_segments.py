from __future__ import annotations

from pathlib import Path

import biotite.structure
import numpy as np
import pytest

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.io.structure_files import read_structure
from unstill.validation.segments import find_segments, two_state_model


def model(shifts: dict[int, float], numbers: list[int]) -> Ensemble:
    """One CA and one CB a residue; shifted residues in two places."""
    rows = []
    for number in numbers:
        for name, up in (("CA", 0.0), ("CB", 1.5)):
            places = [("", 0.0)] if number not in shifts else [("A", 0.0), ("B", shifts[number])]
            rows += [(number, name, label, (3.8 * number, up, by)) for label, by in places]
    atoms = biotite.structure.AtomArray(len(rows))
    atoms.res_id[:] = [row[0] for row in rows]
    atoms.atom_name[:] = [row[1] for row in rows]
    atoms.chain_id[:] = "A"
    atoms.res_name[:] = "ALA"
    atoms.element[:] = "C"
    atoms.set_annotation("altloc_id", np.array([row[2] for row in rows]))
    return Ensemble(atoms, np.array([[row[3] for row in rows]]))


def test_a_run_is_cut_to_its_widest_window_and_gaps_part_runs() -> None:
    shifts = {2: 0.5, 3: 1.0, 4: 3.0, 5: 2.0, 6: 0.4, 9: 1.0, 12: 0.05}
    found = find_segments(two_state_model(model(shifts, [1, 2, 3, 4, 5, 6, 8, 9, 12])))
    assert [(s.first, s.last) for s in found] == [("3", "5"), ("9", "9")]
    assert found[0].apart == pytest.approx(np.sqrt((1 + 9 + 4) / 3))
    assert len(found[0].atoms) == 6


def test_runs_do_not_join_backwards_and_what_is_lost_is_named() -> None:
    # A chain from 99 to 100, then a ligand numbered 5 in the same chain.
    states = two_state_model(model({99: 0.5, 100: 1.0, 5: 1.0}, [99, 100, 5]))
    assert [(s.first, s.last) for s in find_segments(states)] == [("99", "100"), ("5", "5")]
    assert states.left_out == {}
    source = model({1: 1.0, 2: 1.0, 3: 1.0}, [1, 2, 3])
    third = source.atoms.copy()
    third.altloc_id[(third.res_id == 2) & (third.altloc_id == "B")] = "C"
    assert two_state_model(source.replace(atoms=third)).left_out == {"A": 2, "C": 2}


def test_a_model_of_one_state_is_refused() -> None:
    with pytest.raises(InputError, match="two states"):
        two_state_model(model({}, [1, 2]))


def test_6b8x_has_the_published_segments(unstill_data: Path) -> None:
    states = two_state_model(read_structure(unstill_data / "altloc" / "6b8x.pdb"))
    found = find_segments(states)
    assert len(found) == 32
    assert sum(segment.first == segment.last for segment in found) == 24
    far = {segment.first: round(segment.apart, 1) for segment in found if segment.apart > 2.6}
    assert far["181"] == 6.7
    assert far["239"] == 5.6
