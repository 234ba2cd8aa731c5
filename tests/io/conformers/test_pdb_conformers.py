"""PDB: labels, models, occupancies and records survive; what cannot is told."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import biotite.structure
import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.ensembles.multiconformer import Members, Multiconformer, State
from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.io import read_multiconformer, write_multiconformer

LINES = """\
HEADER    HYDROLASE                               01-JAN-26   9XYZ
TITLE     A LOOP IN TWO PLACES
CRYST1   21.500   33.250   40.125  90.00 101.50  90.00 P 1 21 1      2
ATOM      1  N   GLY A  -1      11.104   6.134  -6.504  1.00 12.00           N
ANISOU    1  N   GLY A  -1     1184   1297    330     -5     55   -163       N
ATOM      2  CA AGLY A  -1      11.639   6.071  -5.147  0.60 13.00      MAIN C
ATOM      3  CA BGLY A  -1      11.539   6.271  -5.047  0.40 13.50      MAIN C
ATOM      4  C   GLY A  -1      10.500   5.900  -4.100  1.00 12.00           C
TER       5      GLY A  -1
HETATM    6 ZN    ZN A 101B      1.000   2.000   3.000  0.33 20.00          ZN2+
CONECT    1    6
MASTER        0    0    0    0    0    0    0    0    5    1    1    0
END
"""


def written(tmp_path: Path, text: str = LINES, name: str = "a.pdb") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def atom_lines(path: Path) -> list[str]:
    kept = ("ATOM", "HETATM", "ANISOU", "TER")
    return [line for line in path.read_text().splitlines() if line.startswith(kept)]


def test_a_file_is_written_back_as_it_was(tmp_path) -> None:
    path = written(tmp_path)
    model = read_multiconformer(path)
    assert model.n_rows == 5
    assert model.n_sites == 4
    assert [(s.id, s.occupancy) for s in model.states[1:]] == [("A/-1/A", 0.6), ("A/-1/B", 0.4)]
    assert model.u_aniso is not None
    np.testing.assert_allclose(model.u_aniso[0] * 1e4, [1184, 1297, 330, -5, 55, -163])
    assert int(model.sites.charge[3]) == 2
    write_multiconformer(model, tmp_path / "b.pdb")
    before = [line.rstrip() for line in LINES.splitlines() if not line.startswith("MASTER")]
    after = [line.rstrip() for line in (tmp_path / "b.pdb").read_text().splitlines()]
    # CONECT stands after the atoms, as in the file; the rest is equal, line by line.
    assert after == before


def test_models_are_members(tmp_path) -> None:
    atom = "ATOM      1  CA  GLY A   1      {:6.3f}   6.134  -6.504  1.00 12.00           C\n"
    text = (
        "".join(f"MODEL     {n:4d}\n" + atom.format(n / 8) + "ENDMDL\n" for n in (4, 5, 9))
        + "END\n"
    )
    model = read_multiconformer(written(tmp_path, text))
    assert model.members is not None
    assert model.members.n_members == 3
    np.testing.assert_allclose(model.coord[:, 0], [0.5, 0.625, 1.125])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnstillWarning)
        write_multiconformer(model, tmp_path / "b.pdb")
    found = gemmi.read_structure(str(tmp_path / "b.pdb"))
    assert [one[0][0][0].pos.x for one in found] == [0.5, 0.625, 1.125]
    uneven = Members(np.array([0.5, 0.25, 0.25]), model.members.in_state)
    with pytest.warns(UnstillWarning, match="weights"):
        write_multiconformer(model.replace(members=uneven), tmp_path / "c.pdb")


def test_atoms_after_the_end_are_another_model(tmp_path) -> None:
    atom = "ATOM      1  CA  GLY A   1      {:6.3f}   6.134  -6.504  1.00 12.00           C\nEND\n"
    model = read_multiconformer(written(tmp_path, atom.format(1) + atom.format(2)))
    assert model.n_rows == 2
    assert model.members is not None


@pytest.mark.parametrize(
    ("old", "new", "kind", "said"),
    [
        ("0.40 13.50", "0.x0 13.50", FormatError, "PDB"),
        ("11.539", "******", FormatError, "coordinates"),
        ("11.539", "   nan", InputError, "not finite"),
        ("CA BGLY", "CA AGLY", InputError, "twice"),
        ("MAIN C\nATOM      4", "MAIN Q\nATOM      4", InputError, "element"),
        ("P 1 21 1 ", "P 1 99 1 ", InputError, "space group"),
        ("  -5.047  0.40 13.50      MAIN C", "  -5.0", FormatError, "cut short"),
        ("ANISOU    1  N   GLY A  -1", "ANISOU    1  O   GLY A  -1", FormatError, "ANISOU"),
        (" -1      11.639", " x1      11.639", FormatError, "PDB"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path, old, new, kind, said) -> None:
    assert old in LINES
    with pytest.raises(kind, match=said):
        read_multiconformer(written(tmp_path, LINES.replace(old, new)))


def test_a_file_that_ends_within_a_number_is_refused(tmp_path) -> None:
    whole = LINES[: LINES.index("TER")]
    for stop in (3, 15, 25, 40):
        with pytest.raises(FormatError, match="cut short"):
            read_multiconformer(written(tmp_path, whole[: -12 - stop]))


def test_dos_lines_and_strange_letters(tmp_path) -> None:
    path = tmp_path / "a.pdb"
    path.write_bytes(LINES.replace("A LOOP", "A SÄULE").replace("\n", "\r\n").encode("latin-1"))
    model = read_multiconformer(path)
    assert model.n_rows == 5
    write_multiconformer(model, tmp_path / "b.pdb")
    assert "SÄULE" in (tmp_path / "b.pdb").read_text("latin-1")


def alternatives(n: int) -> Multiconformer:
    """One atom in n places of equal shares."""
    model = read_multiconformer_of_one()
    share = 1 / n
    states = [State("Base"), *(State(f"s{k}", "Base", occupancy=share) for k in range(n))]
    return Multiconformer(
        model.sites,
        np.zeros(n, dtype=int),
        np.arange(n) + 1,
        np.arange(3.0 * n).reshape(n, 3),
        np.full(n, share),
        np.full(n, 10.0),
        np.array([f"s{k}" for k in range(n)]),
        tuple(states),
    )


def read_multiconformer_of_one() -> Multiconformer:
    atoms = biotite.structure.AtomArray(1)
    atoms.chain_id[:], atoms.res_name[:], atoms.atom_name[:] = "A", "GLY", "CA"
    atoms.element[:] = "C"
    return Multiconformer(
        atoms,
        np.zeros(1, dtype=int),
        np.zeros(1, dtype=int),
        np.zeros((1, 3)),
        np.ones(1),
        np.zeros(1),
        np.array([""]),
        (State("Base"),),
    )


@pytest.mark.parametrize("n", [3, 7, 62])
def test_hundredths_keep_the_sum_of_alternatives(tmp_path, n) -> None:
    with pytest.warns(UnstillWarning, match="tree"):
        write_multiconformer(alternatives(n), tmp_path / "a.pdb")
    model = read_multiconformer(tmp_path / "a.pdb")
    assert model.n_rows == n
    assert len(set(model.altloc_id.tolist())) == n
    assert round(100 * model.occupancy.sum()) == 100
    assert np.abs(model.occupancy - 1 / n).max() < 0.01


def test_beyond_62_alternatives_the_rarest_are_left_out_and_told(tmp_path) -> None:
    with pytest.warns(UnstillWarning, match="3 alternatives of 1 residues.*population 0.046"):
        write_multiconformer(alternatives(65), tmp_path / "a.pdb")
    assert read_multiconformer(tmp_path / "a.pdb").n_rows == 62
    assert "3 alternatives" in (tmp_path / "a.pdb").read_text()


def test_nested_states_are_written_out_whole(tmp_path) -> None:
    """N in S (0.6) with side chains r1 and r2 below it, and in T (0.4)."""
    one = read_multiconformer_of_one().sites
    sites = one + one
    sites.atom_name = np.array(["N", "CB"])
    states = (
        State("Base"),
        State("S", "Base", occupancy=0.6),
        State("T", "Base", occupancy=0.4),
        State("r1", "S", occupancy=0.45),
        State("r2", "S", occupancy=0.15),
    )
    model = Multiconformer(
        sites,
        np.array([0, 0, 1, 1, 1]),
        np.array([1, 2, 2, 3, 4]),
        np.arange(15.0).reshape(5, 3),
        np.array([0.6, 0.4, 0.4, 0.45, 0.15]),
        np.full(5, 10.0),
        np.array(["S", "T", "T", "r1", "r2"]),
        states,
    )
    with pytest.warns(UnstillWarning, match="1 atoms are repeated"):
        write_multiconformer(model, tmp_path / "a.pdb")
    back = read_multiconformer(tmp_path / "a.pdb")
    # Each letter is a whole residue, and shares are those of the leaves.
    letters = Counter(back.altloc_id.tolist())
    assert sorted(letters.values()) == [2, 2, 2]
    by_letter = {}
    for letter, share in zip(back.altloc_id, back.occupancy, strict=True):
        by_letter.setdefault(str(letter), set()).add(round(float(share), 2))
    assert sorted(next(iter(shares)) for shares in by_letter.values()) == [0.15, 0.4, 0.45]


@st.composite
def nested_alternatives(draw: st.DrawFn) -> Multiconformer:
    """Residues of two atoms in backbone states, the second of which may be in states below."""
    states, rows = [State("Base")], []
    n_residues = draw(st.integers(1, 3))
    for residue in range(n_residues):
        weights = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
        left_out = draw(st.integers(0, 3))
        for place, weight in enumerate(weights):
            share = weight / (sum(weights) + left_out)
            parent = State(f"r{residue}b{place}", "Base", occupancy=share)
            states.append(parent)
            rows.append((2 * residue, len(states) - 1))
            parts = draw(st.lists(st.integers(1, 9), max_size=3))
            if not parts:
                rows.append((2 * residue + 1, len(states) - 1))
            absent = draw(st.integers(0, 2))
            for number, part in enumerate(parts):
                below = share * part / (sum(parts) + absent)
                states.append(State(f"{parent.id}s{number}", parent.id, occupancy=below))
                rows.append((2 * residue + 1, len(states) - 1))
    used = sorted({site for site, _ in rows})
    atoms = biotite.structure.AtomArray(2 * n_residues)
    atoms.chain_id[:], atoms.res_name[:] = "A", "SER"
    atoms.res_id = np.repeat(np.arange(n_residues), 2) + 5
    atoms.atom_name = np.tile(["CA", "CB"], n_residues)
    atoms.element[:] = "C"
    state = np.array([one for _, one in rows])
    return Multiconformer(
        atoms[used],
        np.array([used.index(site) for site, _ in rows]),
        state,
        np.arange(3.0 * len(rows)).reshape(-1, 3) / 8,
        np.array([states[one].occupancy for one in state]),
        np.full(len(rows), 20.0),
        np.full(len(rows), ""),
        tuple(states),
    )


@given(model=nested_alternatives())
def test_no_population_of_an_atom_is_lost(tmp_path_factory, model) -> None:
    path = tmp_path_factory.mktemp("p") / "a.pdb"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstillWarning)
        write_multiconformer(model, path)
        back = read_multiconformer(path)
    assert back.n_sites == model.n_sites
    for site in range(model.n_sites):
        own = model.occupancy[model.site == site].sum()
        name = model.site_label(site)
        found = back.occupancy[[back.site_label(int(one)) == name for one in back.site]]
        # Alternatives keep their sum; parts of them that are rounded away are below 0.5 %.
        assert found.sum() == pytest.approx(own, abs=0.0051 * len(model.states))
        places = {tuple(xyz) for xyz in model.coord[model.site == site].tolist()}
        mine = back.coord[[back.site_label(int(one)) == name for one in back.site]]
        assert {tuple(xyz) for xyz in mine.tolist()} == places


@pytest.mark.parametrize("name", ["2yl0", "6b8x", "6ni6", "qfit_segment"])
def test_deposited_files_are_written_back_line_by_line(unstill_data, tmp_path, name) -> None:
    path = unstill_data / "altloc" / f"{name}.pdb"
    model = read_multiconformer(path)
    write_multiconformer(model, tmp_path / "b.pdb")

    def told(line: str) -> str:
        # Serial numbers count TER anew; −0 is 0, and elements are in capitals.
        return (line[:6] + line[11:78].upper()).replace("  -0", "   0").rstrip()

    before = [told(line) for line in atom_lines(path) if not line.startswith("TER")]
    after = [told(line) for line in atom_lines(tmp_path / "b.pdb") if not line.startswith("TER")]
    assert Counter(before) == Counter(after)
    again = read_multiconformer(tmp_path / "b.pdb")
    assert Counter(again.altloc_id.tolist()) == Counter(model.altloc_id.tolist())
    # By cif and back nothing of an atom is lost either.
    write_multiconformer(model, tmp_path / "c.cif")
    over = read_multiconformer(tmp_path / "c.cif")
    np.testing.assert_array_equal(over.coord, model.coord)
    np.testing.assert_array_equal(over.occupancy, model.occupancy)
    assert over.altloc_id.tolist() == model.altloc_id.tolist()
