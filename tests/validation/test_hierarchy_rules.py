"""Each of the rules V2 to V10: a model that keeps it, and models that break it in one way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_models import APART, ROWS, STATES, Row, built, kinds, water

from unstill.crystal import Crystal
from unstill.ensembles.multiconformer import Members, Multiconformer, Rule, State
from unstill.validation import RULES, Finding, check_hierarchy
from unstill.validation.finding import arranged

FAR = (20.0, 20.0, 20.0)
W = State("W", "Base", occupancy=0.5)


def of_kind(findings: tuple[Finding, ...], kind: str) -> Finding:
    (found,) = [finding for finding in findings if finding.kind == kind]
    return found


def with_occupancies(a: float, b: float) -> Multiconformer:
    rows = [(*row[:4], {"A": a, "B": b}.get(row[3], 1.0), row[5]) for row in ROWS]
    states = [STATES[0], replace(STATES[1], occupancy=a), replace(STATES[2], occupancy=b)]
    return built(rows, states)


def moved(row: Row, by: tuple[float, float, float]) -> Row:
    return (*row[:5], tuple(np.add(row[5], by).tolist()))


def test_a_model_that_keeps_every_rule_has_no_finding() -> None:
    assert check_hierarchy(built()) == ()
    members = Members(np.array([3.0, 2.0]), np.array([[1, 1, 0], [1, 0, 1]], dtype=bool))
    assert check_hierarchy(built(members=members)) == ()


def test_findings_name_states_and_atoms_and_say_what_to_do() -> None:
    finding = of_kind(check_hierarchy(with_occupancies(0.7, 0.4)), "sum-above")
    assert finding.severity == "error"
    assert finding.rule == "V5"
    assert finding.states == ("A", "B")
    assert finding.atoms == ("A/GLY 2/C A (A)", "A/GLY 2/O A (A)")
    assert finding.count == 2
    assert finding.value == pytest.approx(1.1)
    assert "1.100" in finding.message
    assert finding.remedy
    assert set(finding.as_dict()) >= {"rule", "severity", "message", "atoms", "remedy", "value"}


# V2


def test_states_that_hold_nothing_are_told() -> None:
    found = check_hierarchy(built(states=(*STATES, W)))
    assert kinds(found, "warning") == {("V2", "empty-state")}
    # A state that only groups others is of use.
    grouped = (
        STATES[0],
        State("G", "Base", occupancy=1.0),
        *(replace(s, parent="G") for s in STATES[1:]),
    )
    assert check_hierarchy(built(states=grouped)) == ()


def test_an_atom_that_no_state_holds_is_told() -> None:
    model = built()
    found = check_hierarchy(model.take_rows(np.arange(model.n_rows) != 0))
    assert of_kind(found, "atom-without-row").atoms == ("A/GLY 1/N",)


# V3


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (("NOT", "A", "Base"), "rule-against-tree"),
        (("NOT", "Base", "A"), "rule-against-tree"),
        (("NOT", "A", "A"), "rule-against-tree"),
        (("AND", "A", "C D"), "cannot-occur"),
        (("OR", "A", "B"), "cannot-occur"),
    ],
)
def test_rules_that_leave_a_state_no_copy_are_errors(rule, kind) -> None:
    extra = (State("C", "Base", occupancy=0.6), State("D", "Base", occupancy=0.4))
    rows = (
        *ROWS,
        water(101, "C", 0.6, FAR),
        water(102, "D", 0.4, (30, 30, 30)),
    )
    told = Rule(3, rule[0], rule[1], tuple(rule[2].split()))
    rules = (*APART, Rule(2, "NOT", "C", ("D",)), told)
    found = check_hierarchy(built(rows, (*STATES, *extra), rules))
    assert ("V3", kind) in kinds(found)
    assert ("V3", kind) not in kinds(check_hierarchy(built(rows, (*STATES, *extra), rules[:2])))


def test_a_rule_that_the_tree_implies_is_a_note() -> None:
    child = State("A1", "A", occupancy=0.3)
    rows = (*ROWS, water(101, "A1", 0.3, FAR))
    rules = (*APART, Rule(2, "AND", "A1", ("A",)))
    found = check_hierarchy(built(rows, (*STATES, child), rules))
    assert ("V3", "rule-without-effect") in kinds(found, "note")
    assert not kinds(found)


def test_a_root_whose_rules_contradict_themselves_allows_no_copy() -> None:
    rules = (*APART, Rule(2, "AND", "Base", ("A", "B")))
    assert ("V3", "no-copy-allowed") in kinds(check_hierarchy(built(rules=rules)))


def test_what_is_not_proved_is_not_claimed() -> None:
    # Nine pigeons in eight holes: no search of this kind ends soon.
    pigeons, holes = range(9), range(8)
    states = [State(f"p{p}h{h}", "Base", occupancy=0.0) for p in pigeons for h in holes]
    rules = [("OR", "Base", tuple(f"p{p}h{h}" for h in holes)) for p in pigeons]
    rules += [
        ("NOT", f"p{p}h{h}", (f"p{q}h{h}",)) for h in holes for p in pigeons for q in range(p)
    ]
    numbered = [Rule(n, *rule) for n, rule in enumerate(rules, start=2)]
    found = check_hierarchy(built(states=(*STATES, *states), rules=(*APART, *numbered)))
    assert ("V3", "unproved") in kinds(found, "note")
    assert not {kind for rule, kind in kinds(found) if rule == "V3"}


# V4


def test_an_atom_twice_in_one_copy_is_an_error() -> None:
    rows = (*ROWS, (2, "CA", "A", "A", 0.6, (4.0, 2.9, 0.0)))
    finding = of_kind(check_hierarchy(built(rows)), "twice-on-a-line")
    assert finding.severity == "error"
    assert finding.states == ("A", "Base")
    # Where occupancies leave room, the two were meant as alternatives.
    rows = (*ROWS[:5], (2, "CA", "", "Base", 0.4, ROWS[5][5]), *ROWS[6:], rows[-1])
    assert of_kind(check_hierarchy(built(rows)), "twice-on-a-line").severity == "warning"


def test_a_state_that_needs_what_holds_its_atoms_is_an_error() -> None:
    rules = (*APART, Rule(2, "AND", "A", ("B",)))
    assert {rule for rule, _ in kinds(check_hierarchy(built(rules=rules)))} >= {"V4"}


def test_exclusions_that_no_rule_writes_are_a_note() -> None:
    found = check_hierarchy(built(rules=()))
    assert kinds(found, "note") == {("V4", "unwritten-exclusion")}
    assert len(found) == 1


# V5


@pytest.mark.parametrize(
    ("a", "b", "severity"),
    [
        (0.6, 0.4, None),
        (0.6, 0.405, None),
        (0.61, 0.4, "warning"),
        (0.6, 0.42, "warning"),
        (0.6, 0.43, "error"),
        (0.9, 0.57, "error"),
        (0.6, 0.39, "note"),
        (0.6, 0.2, "note"),
    ],
)
def test_sums_warn_up_to_two_hundredths_and_fail_above(a, b, severity) -> None:
    found = [f for f in check_hierarchy(with_occupancies(a, b)) if f.rule == "V5"]
    assert [f.severity for f in found] == ([] if severity is None else [severity])
    if severity in ("warning", "error"):
        assert found[0].value == pytest.approx(a + b)


def test_many_positions_with_sums_of_two_decimals_pass_with_warnings() -> None:
    # Thirty waters in three places each, 0.34 + 0.34 + 0.33, as deposited files have them.
    states, rows, rules = [STATES[0]], list(ROWS[:6]), []
    for number in range(30):
        three = [f"w{number}{label}" for label in "ABC"]
        for place, (label, share) in enumerate(zip("ABC", (0.34, 0.34, 0.33), strict=True)):
            states.append(State(three[place], "Base", occupancy=share))
            at = (20 + 6 * number, 20 + place, 20)
            rows.append(water(101 + number, three[place], share, at, label))
            if place:
                rules.append(Rule(len(rules) + 1, "NOT", three[place], tuple(three[:place])))
    found = check_hierarchy(built(rows, states, rules), most=None)
    assert kinds(found) == set()
    assert kinds(found, "warning") == {("V5", "sum-above")}
    assert sum(f.count for f in found) == 30
    assert {round(f.value, 6) for f in found if f.value} == {1.01}


@pytest.mark.parametrize(
    ("share", "expected"), [(-0.1, "error"), (1.01, "warning"), (1.2, "error")]
)
def test_an_occupancy_is_a_share(share, expected) -> None:
    rows = [(*ROWS[0][:4], share, ROWS[0][5]), *ROWS[1:]]
    assert of_kind(check_hierarchy(built(rows)), "occupancy-range").severity == expected


def test_states_have_shares_and_the_root_has_all() -> None:
    states = (State("Base", occupancy=0.9), *STATES[1:])
    assert ("V5", "root-occupancy") in kinds(check_hierarchy(built(states=states)))
    states = (*STATES, State("W", "Base", occupancy=1.5))
    found = check_hierarchy(built((*ROWS, water(101, "W", 1.0, FAR)), states))
    assert ("V5", "state-range") in kinds(found)


@pytest.mark.parametrize(("share", "severity"), [(0.6, None), (0.615, "warning"), (0.63, "error")])
def test_a_child_is_no_more_frequent_than_its_parent(share, severity) -> None:
    states = (*STATES, State("A1", "A", occupancy=share))
    found = check_hierarchy(built((*ROWS, water(101, "A1", share, FAR)), states))
    got = [f.severity for f in found if f.kind == "child-above-parent"]
    assert got == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("shares", "severity"), [((0.3, 0.3), None), ((0.31, 0.3), "warning"), ((0.33, 0.3), "error")]
)
def test_alternatives_below_one_parent_fit_into_it(shares, severity) -> None:
    # The sum is far below 1, but above the 0.6 of their parent.
    states = (*STATES, *(State(f"A{i}", "A", occupancy=s) for i, s in enumerate(shares)))
    rows = [*ROWS, *(water(101, f"A{i}", s, (20 + i, 20, 20)) for i, s in enumerate(shares))]
    found = check_hierarchy(built(rows, states, (*APART, Rule(2, "NOT", "A0", ("A1",)))))
    sums = [f for f in found if f.kind == "sum-above"]
    assert [f.severity for f in sums] == ([] if severity is None else [severity])
    assert all("A" in f.message for f in sums)


@pytest.mark.parametrize(("share", "severity"), [(0.4, None), (0.415, "warning"), (0.44, "error")])
def test_states_that_a_rule_sets_apart_share_out_the_copies(share, severity) -> None:
    states = (*STATES, State("W", "Base", occupancy=share))
    rules = (*APART, Rule(2, "NOT", "W", ("A",)))
    found = check_hierarchy(built((*ROWS, water(101, "W", share, FAR)), states, rules))
    got = [f.severity for f in found if f.kind == "exclusive-sum-above"]
    assert got == ([] if severity is None else [severity])


def test_a_state_is_no_more_frequent_than_what_it_needs() -> None:
    states = (*STATES, W)
    rows = (*ROWS, water(101, "W", 0.5, FAR))
    needs = lambda kind, *others: check_hierarchy(  # noqa: E731
        built(rows, states, (*APART, Rule(2, kind, "W", others)))
    )
    assert ("V5", "rule-needs-more") in kinds(needs("AND", "B"))
    assert ("V5", "rule-needs-more") not in kinds(needs("AND", "A"))
    assert ("V5", "rule-needs-more") not in kinds(needs("OR", "A", "B"))
    assert ("V5", "rule-needs-more") in kinds(needs("OR", "B"))


# V6


@pytest.mark.parametrize(("low", "kind"), [(0.6, None), (0.596, None), (0.5, "spread")])
def test_a_state_has_one_occupancy(low, kind) -> None:
    rows = [*ROWS[:7], (*ROWS[7][:4], low, ROWS[7][5]), *ROWS[8:]]
    found = kinds(check_hierarchy(built(rows)), "warning")
    assert found == (set() if kind is None else {("V6", kind)})


def test_an_atom_more_frequent_than_its_state_is_an_error() -> None:
    states = (STATES[0], replace(STATES[1], occupancy=0.5), STATES[2])
    assert ("V6", "atom-above-state") in kinds(check_hierarchy(built(states=states)))
    # Nobody stated the occupancy of a state that was inferred.
    assert not kinds(check_hierarchy(built(states=states), inferred=True))


# V7


def two_pairs(rules: tuple[Rule, ...], lift: float = 0.0) -> Multiconformer:
    """The bond C–N in two places, each end in states of its own."""
    states = [STATES[0]]
    rows = [row for row in ROWS if row[1] in ("N", "CA", "O") and row[3] == "Base" and row[0] == 1]
    for name, share in (("A", 0.6), ("B", 0.4)):
        of_c, of_n = (0.0, -0.8 * lift) if name == "A" else (0.7 * lift, 1.5 * lift)
        states += [
            State(f"{name}1", "Base", occupancy=share),
            State(f"{name}2", "Base", occupancy=share),
        ]
        rows.append((1, "C", name, f"{name}1", share, (2.0, 1.42, of_c)))
        rows.append((2, "N", name, f"{name}2", share, (3.33, 1.53, of_n)))
    apart = (Rule(1, "NOT", "A1", ("B1",)), Rule(2, "NOT", "A2", ("B2",)))
    return built(rows, states, (*apart, *rules))


def test_bonded_atoms_can_be_there_together() -> None:
    assert not {r for r, _ in kinds(check_hierarchy(two_pairs(()))) if r == "V7"}
    finding = of_kind(
        check_hierarchy(two_pairs((Rule(3, "NOT", "A1", ("A2", "B2")),))), "bonded-apart"
    )
    assert finding.severity == "error"
    assert "A/GLY 1/C A (A1)" in finding.atoms


def test_copies_with_broken_bonds_are_a_warning_until_a_rule_excludes_them() -> None:
    found = check_hierarchy(two_pairs((), lift=1.0))
    broken = [f for f in found if f.kind == "broken-bond"]
    assert {f.states for f in broken} == {("A1", "B2"), ("A2", "B1")}
    assert all(f.severity == "warning" for f in broken)
    assert broken[0].value == pytest.approx(np.hypot(np.hypot(1.33, 0.11), 1.5), abs=1e-6)
    rules = (Rule(3, "NOT", "A1", ("B2",)), Rule(4, "NOT", "B1", ("A2",)))
    assert not [f for f in check_hierarchy(two_pairs(rules, lift=1.0)) if f.rule == "V7"]


def test_an_atom_whose_neighbour_some_copies_lack_is_no_error() -> None:
    # B has CA alone: its copies lack C and O, and the occupancies agree.
    rows = [row for row in ROWS if (row[0], row[1]) != (2, "CA") and row[3] != "B"]
    rows += [(2, "CA", "A", "A", 0.6, (4.0, 2.8, 0.0)), (2, "CA", "B", "B", 0.4, (4.0, 2.8, 0.2))]
    assert not [f for f in check_hierarchy(built(rows)) if f.rule == "V7"]


def test_a_chain_is_bonded_from_c_to_n_and_not_backwards() -> None:
    # N of the first residue and C of the second come near in one of two places.
    near = [row for row in ROWS if row[3] != "B"]
    near[6] = (2, "C", "A", "A", 0.6, (0.9, 1.0, 1.2))
    near.append((2, "C", "B", "B", 0.4, ROWS[8][5]))
    model = built(near)
    assert np.linalg.norm(model.coord[6] - model.coord[0]) < 1.9
    told = [f for f in check_hierarchy(model) if f.rule == "V7"]
    assert not any("A/GLY 1/N (Base)" in f.atoms for f in told)


def test_waters_that_come_as_near_as_bonds_are_not_bonded() -> None:
    states = (*STATES, W, State("X", "Base", occupancy=0.5))
    rows = (*ROWS, water(101, "W", 0.5, FAR), water(102, "X", 0.5, (21.4, 20, 20)))
    found = check_hierarchy(built(rows, states, (*APART, Rule(2, "NOT", "W", ("X",)))))
    assert not [f for f in found if f.rule == "V7"]


@pytest.mark.parametrize(("apart", "told"), [((), False), (("Y",), False), (("X", "Y"), True)])
def test_a_bound_ligand_is_told_where_no_copy_can_have_the_link(apart, told) -> None:
    # Two ligands, each in two places, of which one pair is at the distance of a bond.
    states = [
        STATES[0],
        *(State(name, "Base", occupancy=0.5) for name in ("P", "Q", "X", "Y")),
    ]
    rows = [
        *ROWS[:6],
        (301, "C1", "A", "P", 0.5, FAR),
        (301, "C1", "B", "Q", 0.5, (20.0, 24.0, 20.0)),
        (302, "S1", "A", "X", 0.5, (20.0, 26.0, 20.0)),
        (302, "S1", "B", "Y", 0.5, (21.7, 20.0, 20.0)),
    ]
    rules = [Rule(1, "NOT", "P", ("Q",)), Rule(2, "NOT", "X", ("Y",))]
    rules += [Rule(3, "NOT", "P", apart)] if apart else []
    found = check_hierarchy(built(rows, states, rules))
    assert ("V7" in {f.rule for f in found if f.kind == "linked-apart"}) is told
    assert not {f for f in found if f.rule == "V7" and f.severity == "error"}


def test_recorded_members_alone_decide_which_junctions_count() -> None:
    model = two_pairs((), lift=1.0)
    held = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 1, 1]], dtype=bool)
    members = Members(np.array([0.6, 0.4]), held)
    assert not [f for f in check_hierarchy(model.replace(members=members)) if f.rule == "V7"]
    crossed = Members(np.array([0.6, 0.4]), held[:, [0, 1, 4, 3, 2]])
    found = [f for f in check_hierarchy(model.replace(members=crossed)) if f.rule == "V7"]
    # Members are copies that there are: their geometry is bad, their states are not.
    assert {(f.severity, f.kind) for f in found} == {("warning", "broken-bond")}


def test_a_rule_between_bonded_atoms_is_an_error_where_other_partners_are_too_far() -> None:
    rules = (Rule(3, "NOT", "A1", ("A2",)),)
    found = check_hierarchy(two_pairs(rules, lift=1.0))
    assert ("V7", "bonded-apart") in kinds(found)
    # At the same place, the other partner will do.
    assert not [f for f in check_hierarchy(two_pairs(rules)) if f.rule == "V7"]


# V8


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (0.5, 0.5, None),
        (0.5, 0.51, None),
        (0.52, 0.5, "warning"),
        (0.55, 0.5, "warning"),
        (0.56, 0.5, "error"),
        (0.99, 0.48, "error"),
    ],
)
def test_populations_must_leave_a_clash_a_way_out(a, b, expected) -> None:
    states = (STATES[0], State("P", "Base", occupancy=a), State("Q", "Base", occupancy=b))
    rows = [
        *ROWS[:6],
        water(101, "P", a, FAR, "A"),
        water(102, "Q", b, (21.9, 20, 20), "B"),
    ]
    found = [f for f in check_hierarchy(built(rows, states, ())) if f.rule == "V8"]
    assert [f.severity for f in found] == ([] if expected is None else [expected])
    if expected:
        assert found[0].value == pytest.approx(a + b - 1)
        assert "A/HOH 101/O A (P)" in found[0].atoms
        assert "1.90 Å" in found[0].message
        # Far enough apart, the same populations are fine.
        rows[-1] = water(102, "Q", b, (23.0, 20, 20), "B")
        assert not [f for f in check_hierarchy(built(rows, states, ())) if f.rule == "V8"]


def test_a_clash_with_what_every_copy_has_is_no_matter_of_populations() -> None:
    rows = (*ROWS, water(101, "Base", 1.0, FAR, ""), water(102, "W", 0.5, (21.9, 20, 20)))
    found = check_hierarchy(built(rows, (*STATES, W)))
    assert kinds(found) == set()
    assert kinds(found, "warning") == {("V8", "clash-with-every-copy")}


def test_a_forced_clash_of_atoms_without_altloc_is_a_warning() -> None:
    states = (STATES[0], State("P", "Base", occupancy=0.9), State("Q", "Base", occupancy=0.8))
    rows = [*ROWS[:6], water(101, "P", 0.9, FAR, ""), water(102, "Q", 0.8, (21.9, 20, 20), "B")]
    found = of_kind(check_hierarchy(built(rows, states, ())), "forced-clash-without-altloc")
    assert found.severity == "warning"
    assert found.value == pytest.approx(0.7)


def test_a_clash_with_a_mate_is_told_apart() -> None:
    crystal = Crystal((30, 40, 50, 90, 90, 90), "P 1")
    states = (STATES[0], State("P", "Base", occupancy=0.9), State("Q", "Base", occupancy=0.8))
    rows = [*ROWS[:6], water(101, "P", 0.9, (1, 20, 20)), water(102, "Q", 0.8, (29.1, 20, 20))]
    found = check_hierarchy(built(rows, states, (), crystal=crystal))
    mate = of_kind(found, "forced-clash-with-mate")
    assert mate.severity == "warning"
    assert mate.value == pytest.approx(0.7)
    assert not [f for f in check_hierarchy(built(rows, states, ())) if f.rule == "V8"]


# V9


def with_members(weights: list[float], held: list[list[int]], **changes: object) -> set:
    members = Members(np.array(weights), np.array(held, dtype=bool))
    return {
        (f.severity, f.kind)
        for f in check_hierarchy(built(members=members, **changes))  # type: ignore[arg-type]
        if f.rule == "V9"
    }


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([0.6, 0.4], set()),
        ([0.6 + 5e-7, 0.4 - 5e-7], set()),
        ([0.6 + 2e-6, 0.4 - 2e-6], {("warning", "rounded-weights")}),
        ([0.603, 0.397], {("warning", "rounded-weights")}),
        ([0.61, 0.39], {("error", "weights")}),
        ([0.5, 0.5], {("error", "weights")}),
    ],
)
def test_weights_of_members_give_the_occupancies(weights, expected) -> None:
    assert with_members(weights, [[1, 1, 0], [1, 0, 1]]) == expected


@pytest.mark.parametrize(
    ("held", "kind"),
    [
        ([[0, 1, 0], [1, 0, 1]], "member-without-parent"),
        ([[1, 1, 1], [1, 0, 1]], "member-in-exclusive-states"),
        ([[1, 1, 1], [1, 0, 1]], "member-against-rule"),
    ],
)
def test_members_are_allowed_copies(held, kind) -> None:
    assert ("error", kind) in with_members([0.6, 0.4], held)


# V10


def relabelled(labels: dict[str, str]) -> Multiconformer:
    return built([(*row[:2], labels.get(row[2], row[2]), *row[3:]) for row in ROWS])


@pytest.mark.parametrize(
    ("labels", "severity", "kind"),
    [
        ({"A": "."}, "error", "altloc-is-no-label"),
        ({"A": "?"}, "error", "altloc-is-no-label"),
        ({"A": " "}, "error", "altloc-is-no-label"),
        ({"A": "b", "B": "B"}, "warning", "altloc-case"),
        ({"A": ""}, "warning", "altloc-missing"),
        ({"A": "B"}, "warning", "altloc-repeated"),
    ],
)
def test_labels_can_be_told_apart(labels, severity, kind) -> None:
    assert ("V10", kind) in kinds(check_hierarchy(relabelled(labels)), severity)


@pytest.mark.parametrize("labels", [{"A": "1", "B": "2"}, {"A": "AA", "B": "AB"}, {"B": "a1"}])
def test_labels_may_be_numbers_and_long(labels) -> None:
    assert check_hierarchy(relabelled(labels)) == ()


# Arrangement


def test_long_runs_are_shortened_and_still_add_up() -> None:
    some = [Finding("V5", "warning", f"{i}", value=float(i), count=2) for i in range(40)]
    some += [Finding("V2", "error", "worst")]
    found = arranged(some, most=10)
    assert len(found) == 12
    assert found[0].severity == "error"
    assert [f.value for f in found[1:11]] == list(range(39, 29, -1))
    assert sum(f.count for f in found if f.severity == "warning") == 80
    assert "30 more" in found[-1].message
    assert len(arranged(some, most=None)) == 41


def test_every_rule_says_what_it_asks_for() -> None:
    assert list(RULES) == [f"V{number}" for number in range(1, 11)]
    assert all(RULES.values())
