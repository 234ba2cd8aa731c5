"""Scripts for PyMOL and ChimeraX that open the copies and colour them by state."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from unstill.workflows.heterogeneity_report.alternatives import SHARED
from unstill.workflows.heterogeneity_report.view import Patch, ResidueNumber, SeenState, View

_PLAIN = re.compile(r"[A-Za-z0-9_'*]+")


def pymol_script(view: View) -> str:
    """Commands for PyMOL: ``pymol view.pml``, in the folder of the files."""
    return "\n".join(_pymol_lines(view)) + "\n"


def chimerax_script(view: View) -> str:
    """Commands for ChimeraX: open ``view.cxc``."""
    return "\n".join(_chimerax_lines(view)) + "\n"


def residue_runs(numbers: Sequence[ResidueNumber]) -> list[tuple[ResidueNumber, ResidueNumber]]:
    """First and last of runs of residues that follow each other, insertions one by one."""
    runs: list[tuple[ResidueNumber, ResidueNumber]] = []
    for number in numbers:
        follows = runs and not number[1] and not runs[-1][1][1] and runs[-1][0][0] >= 0
        if follows and number[0] == runs[-1][1][0] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _pymol_lines(view: View) -> Iterator[str]:
    yield f"# {_comment(view.title)}"
    yield "# Copies that show every state; each is an object copy_0001, copy_0002, ..."
    yield f"load {view.file}, copies"
    yield "split_states copies, prefix=copy_"
    yield "delete copies"
    yield "hide everything"
    yield f"color {_pymol_colour(SHARED)}, all"
    yield "show cartoon, polymer"
    yield "set cartoon_transparency, 0.4"
    yield "show sticks, copy_0001 and organic"
    yield "show nb_spheres, copy_0001 and inorganic"
    for number, states in enumerate(view.copies, start=1):
        name = f"copy_{number:04d}"
        for state in states:
            yield f"# state {_comment(state.id)}, occupancy {state.occupancy:.3f}"
            for patch in _nameable(state):
                chosen = f"{name} and {_pymol_patch(patch)}"
                yield f"color {_pymol_colour(state.colour)}, {chosen}"
                residues = f"{name} and {_pymol_patch(Patch(patch.chain, patch.residues))}"
                yield f"show sticks, {residues} and not solvent"
                yield f"show nb_spheres, {residues} and solvent"
    yield "group copies, copy_*"
    yield "orient"


def _pymol_colour(colour: str) -> str:
    return f"0x{colour.lstrip('#')}"


def _pymol_patch(patch: Patch) -> str:
    parts = [f"chain {patch.chain}" if patch.chain.strip() else "chain ''"]
    words = []
    for first, last in residue_runs(patch.residues):
        one, other = (f"{n}{ins}".replace("-", "\\-") for n, ins in (first, last))
        words.append(one if first == last else f"{one}-{other}")
    parts.append(f"resi {'+'.join(words)}")
    if patch.atoms:
        parts.append(f"name {'+'.join(patch.atoms)}")
    return f"({' and '.join(parts)})"


def _chimerax_lines(view: View) -> Iterator[str]:
    yield f"# {_comment(view.title)}"
    yield "# Copies that show every state; each is a model of its own."
    yield f"open {view.file}"
    yield "hide atoms"
    yield "show cartoons"
    yield f"color all {SHARED}"
    yield "transparency all 40 target c"
    first = _chimerax_model(view, 0)
    yield f"show {first} & ligand | {first} & ions"
    for number, states in enumerate(view.copies):
        model = _chimerax_model(view, number)
        for state in states:
            yield f"# state {_comment(state.id)}, occupancy {state.occupancy:.3f}"
            for patch in _nameable(state):
                chosen = f"{model}{_chimerax_residues(patch)}"
                atoms = f"@{','.join(patch.atoms)}" if patch.atoms else ""
                # A ribbon belongs to the residue: it takes the colour of its trace.
                target = "ac" if patch.has_trace else "a"
                yield f"color {chosen}{atoms} {state.colour} target {target}"
                yield f"show {chosen} atoms"
    yield "style stick"
    yield "view"


def _chimerax_model(view: View, number: int) -> str:
    # A file of one model is one model; models of a file of several are numbered below it.
    return "#1" if len(view.copies) == 1 else f"#1.{number + 1}"


def _chimerax_residues(patch: Patch) -> str:
    chain = f"/{patch.chain}" if patch.chain.strip() else ""
    words = []
    for first, last in residue_runs(patch.residues):
        one, other = (f"{n}{ins}" for n, ins in (first, last))
        words.append(one if first == last else f"{one}-{other}")
    return f"{chain}:{','.join(words)}"


def _nameable(state: SeenState) -> list[Patch]:
    """Patches whose names are plain: others could not be selected, or would be commands."""
    return [
        patch
        for patch in state.patches
        if all(_PLAIN.fullmatch(name) for name in (patch.chain.strip() or "A", *patch.atoms))
    ]


def _comment(text: Any) -> str:
    """One line, whatever the text is: a line break would begin a command."""
    return " ".join(str(text).split())
