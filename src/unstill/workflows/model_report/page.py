"""The report of a validated model: its sections, and what stands above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unstill.report.blocks import (
    Block,
    Column,
    FigureBlock,
    KeyFigure,
    KeyFigures,
    Prose,
    Row,
    Table,
)
from unstill.report.curves import Curve, resolution_curves
from unstill.report.numbers import number
from unstill.report.page import Page, Section
from unstill.validation.residue_scores import LOW_RSCC
from unstill.workflows.model_report.chain_figure import ChainTrack, chain_svg
from unstill.workflows.model_report.ramachandran_figure import ramachandran_svg
from unstill.workflows.validate_model import ModelValidation
from unstill.workflows.validation_summary import summary_of

_MOST_RESIDUES = 40
_MOST_MEMBERS = 60


def model_page(
    found: ModelValidation,
    provenance: Mapping[str, Any],
    *,
    name: str,
    data: str = "",
    warnings: Sequence[str] = (),
) -> Page:
    """Compose the page.

    Parameters
    ----------
    found
        What was found.
    provenance
        ``Provenance.as_dict()`` of the run.
    name, data
        Of the model and of its data file.
    warnings
        What was warned of.
    """
    summary = summary_of(found)
    sections = [Section("Residues to look at", _worst_blocks(summary, found))]
    tracks = _chain_blocks(found)
    if tracks:
        sections.append(Section("Along the chains", tracks))
    if found.amplitudes is not None:
        sections.append(Section("Amplitudes", _amplitude_blocks(found, summary)))
    if summary["n_ramachandran"]:
        sections.append(Section("Ramachandran plot", _ramachandran_blocks(found, summary)))
    if len(summary["members"]) > 1:
        sections.append(Section("Members", _member_blocks(summary)))
    if summary["states"]:
        sections.append(Section("States", _state_blocks(summary)))
    sections.append(Section("How it was measured", _method_blocks(found)))
    return Page(
        title=f"Validation of {name}",
        kind="model",
        subject=_subject(summary, data),
        lead=[Prose(_verdict(summary), lead=True), _key_figures(summary)],
        sections=sections,
        provenance=provenance,
        warnings=warnings,
    )


def _subject(summary: dict[str, Any], data: str) -> str:
    members = summary["n_members"]
    text = f"{summary['n_residues']} residues, {summary['n_atoms']} atoms"
    text += f", {members} members" if members > 1 else ""
    states = len(summary["states"])
    text += f", {states} altlocs" if states else ""
    return text + (f"; against {data}" if data else "")


def _verdict(summary: dict[str, Any]) -> str:
    grave = sum(one["gravity"] >= 1 for one in summary["residues"])
    listed = summary["n_problem_residues"]
    if not listed:
        return "No residue has a problem of those that were looked for."
    some = f"{listed} of {summary['n_residues']} residues have a problem"
    return f"{some}, {grave} of them a grave one." if grave else f"{some}; none of them is grave."


def _key_figures(summary: dict[str, Any]) -> KeyFigures:
    figures = [
        KeyFigure(
            "Clashscore",
            number(summary["clashscore"], 1),
            "Overlaps of 0.4 Å or more per thousand atoms; good models have less than 5.",
        )
    ]
    if "bond_rmsd" in summary:
        flips = summary["chirality_flips"]
        figures.append(
            KeyFigure(
                "Bonds",
                number(summary["bond_rmsd"], 4),
                f"rms of deviations, Z {number(summary['bond_rmsz'], 2)}; angles "
                f"{number(summary['angle_rmsd'], 2)}°, Z {number(summary['angle_rmsz'], 2)}; "
                + ("no centre is flipped." if flips == 0 else f"{flips:.3g} centres are flipped."),
                "Å",
            )
        )
    if summary["n_ramachandran"]:
        figures.append(
            KeyFigure(
                "Ramachandran favoured",
                number(100 * summary["ramachandran_favoured"], 1),
                f"{number(100 * summary['ramachandran_outliers'], 1)} % are outliers; of the "
                "residues behind the plot 98 % are favoured and 0.2 % outliers.",
                "%",
            )
        )
    if summary["n_rotamers"]:
        figures.append(
            KeyFigure(
                "Rotamer outliers",
                number(100 * summary["rotamer_outliers"], 1),
                f"Of {summary['n_rotamers']} side chains; in good models 0.3 %.",
                "%",
            )
        )
    if "r_work" in summary:
        figures.append(
            KeyFigure(
                "R_work / R_free",
                f"{number(summary['r_work'], 3)} / {number(summary['r_free'], 3)}",
                f"Of the whole model with bulk solvent, to {_finest(summary):.2f} Å.",
            )
        )
    if "rscc" in summary:
        figures.append(
            KeyFigure(
                "RSCC",
                number(summary["rscc"], 3),
                f"Within 2 Å of the atoms; the median residue has "
                f"{number(summary['rscc_median'], 3)}.",
            )
        )
    rmsf = summary["spread"]["rmsf_mean"]
    if rmsf is not None and (len(summary["members"]) > 1 or summary["states"]):
        figures.append(
            KeyFigure(
                "Spread",
                number(rmsf, 2),
                f"Mean RMSF of the residues; the largest has "
                f"{number(summary['spread']['rmsf_largest'], 2)} Å.",
                "Å",
            )
        )
    return KeyFigures(figures)


def _finest(summary: dict[str, Any]) -> float:
    return float(min(shell["d_min"] for shell in summary["shells"]))


def _worst_blocks(summary: dict[str, Any], found: ModelValidation) -> list[Block]:
    residues = summary["residues"]
    if not residues:
        return [Prose("There is none.")]
    with_map = found.map is not None
    columns = [Column("Residue", style="text"), Column("Gravity")]
    columns += [Column("RSCC")] if with_map else []
    columns += [Column("RMSF", "Å"), Column("What is wrong", style="note")]
    rows = []
    for one in residues[:_MOST_RESIDUES]:
        cells = [f"{one['chain']} {one['name']} {one['number']}", number(one["gravity"], 2)]
        cells += [number(one["rscc"], 2)] if with_map else []
        cells += [number(one["rmsf"], 2), "; ".join(one["problems"])]
        rows.append(Row(cells))
    left = len(residues) - len(rows)
    note = "The gravest first. Gravity adds up the problems: 1 is an outlier of the backbone."
    if left > 0:
        note += f" {left} more are in residues.csv and in the output of --json."
    return [Table(columns, rows, note=note, wide=True)]


def _chain_blocks(found: ModelValidation) -> list[Block]:
    scores, table = found.scores, found.scores.residues
    rows = np.flatnonzero(scores.chosen & _polymer(found))
    if len(rows) < 2:
        return []
    tracks = []
    if found.map is not None:
        values = found.map.residue_rscc[rows]
        tracks.append(ChainTrack("RSCC", values, low_is_bad=True, limit=LOW_RSCC, top=1.02))
    rmsf = scores.rmsf[rows]
    if np.nanmax(rmsf, initial=0.0) > 0:
        tracks.append(ChainTrack("RMSF (Å)", rmsf))
    gravity = np.zeros(table.n)
    for one in found.worst:
        gravity[one.row] = one.gravity
    tracks.append(ChainTrack("gravity", gravity[rows], limit=1.0))
    svg = chain_svg(
        tracks,
        [table.chain_id[row] for row in rows.tolist()],
        [f"{table.res_id[row]}{table.ins_code[row]}" for row in rows.tolist()],
        name="chains",
    )
    reading = "Isolated dots in colour are single errors; runs of them are pieces to rebuild."
    if found.map is not None:
        reading += f" A residue below {LOW_RSCC} is badly explained by the model, or disordered."
    return [
        FigureBlock(
            svg,
            "Scores of polymer residues along the chains. Breaks of the chain are not drawn.",
            reading,
            panels=True,
        )
    ]


def _polymer(found: ModelValidation) -> np.ndarray:
    """Residues with a backbone of protein or nucleic acid."""
    atoms = found.scores.ensemble.atoms
    backbone = np.isin(atoms.atom_name, ["CA", "C3'", "C3*"]) & (atoms.element != "CA")
    polymer = np.zeros(found.scores.residues.n, dtype=bool)
    polymer[found.scores.residues.of_atom[backbone]] = True
    return polymer


def _amplitude_blocks(found: ModelValidation, summary: dict[str, Any]) -> list[Block]:
    assert found.amplitudes is not None
    shells = found.amplitudes.fit.shells
    x = np.array([(shell.d_min**-2 + shell.d_max**-2) / 2 for shell in shells])
    work = np.array([shell.r_work for shell in shells])
    free = np.array([shell.r_free for shell in shells])
    curves = [Curve("R_work", x, work, look="other")]
    if np.isfinite(free).any():
        curves.append(Curve("R_free", x, free, look="main"))
    blocks: list[Block] = []
    if len(shells) > 1:
        blocks.append(
            FigureBlock(
                resolution_curves(
                    curves,
                    name="shells",
                    title="R by shell of resolution",
                    ylabel="R",
                    difference=True,
                ),
                "R of the work and of the free reflections by shell.",
                "Both rise where the data fade. High R at low resolution alone points at the "
                "solvent; a gap that is wide everywhere is a fit of noise.",
            )
        )
    rows = [
        Row(
            (
                f"{shell['d_max']:.2f}–{shell['d_min']:.2f}",
                number(shell["n_work"], 0),
                number(shell["n_free"], 0),
                number(shell["r_work"], 3),
                number(shell["r_free"], 3),
            )
        )
        for shell in summary["shells"]
    ]
    columns = [
        Column("d", "Å", style="text"),
        Column("Work"),
        Column("Free"),
        Column("R_work"),
        Column("R_free"),
    ]
    note = (
        f"Bulk solvent fills {number(100 * summary['solvent_fraction'], 0)} % of the cell: "
        f"k_sol {number(summary['k_sol'], 2)} e/Å³, B_sol {number(summary['b_sol'], 0)} Å². Free "
        "reflections are in no fit."
    )
    return [*blocks, Table(columns, rows, note=note)]


def _ramachandran_blocks(found: ModelValidation, summary: dict[str, Any]) -> list[Block]:
    return [
        FigureBlock(
            ramachandran_svg(found.scores, name="rama"),
            f"Backbone torsions of {summary['n_ramachandran']} residue conformers; crosses are "
            "outliers. Inner regions hold 98 % of the residues of the table, outer ones 99.8 %.",
            "Crosses far from every region are errors, or strained residues that the density "
            "must show.",
            panels=True,
        )
    ]


def _member_blocks(summary: dict[str, Any]) -> list[Block]:
    members = summary["members"]
    columns = [
        Column("Member", style="text"),
        Column("Weight"),
        Column("Clashscore"),
        Column("Rama favoured", "%"),
        Column("Rama outliers", "%"),
        Column("Rotamer outliers", "%"),
    ]
    rows = [
        Row(
            (
                str(one["member"]),
                number(one["weight"], 3),
                number(one["clashscore"], 1),
                number(100 * one["ramachandran_favoured"], 1),
                number(100 * one["ramachandran_outliers"], 1),
                number(100 * one["rotamer_outliers"], 1),
            )
        )
        for one in members[:_MOST_MEMBERS]
    ]
    spread = summary["spread"]
    text = (
        f"The members count as {number(spread['n_effective'], 1)} of equal weight. Pairs of them "
        f"are {number(spread['mean_pair_rmsd'], 2)} Å apart in the mean, the nearest "
        f"{number(spread['nearest_pair_rmsd'], 2)} Å."
    )
    left = len(members) - len(rows)
    note = "" if left <= 0 else f"{left} more are in the output of --json."
    return [Prose(text), Table(columns, rows, note=note)]


def _state_blocks(summary: dict[str, Any]) -> list[Block]:
    columns = [
        Column("Altloc", style="text"),
        Column("Atoms"),
        Column("Occupancy", "mean"),
        Column("Clashscore"),
        Column("Rama favoured", "%"),
        Column("Rotamer outliers", "%"),
        Column("RSCC"),
    ]
    rows = [
        Row(
            (
                state["altloc"],
                number(state["n_atoms"], 0),
                number(state["occupancy"], 2),
                number(state["clashscore"], 1),
                number(100 * state["ramachandran_favoured"], 1),
                number(100 * state["rotamer_outliers"], 1),
                number(state["rscc"], 3),
            )
        )
        for state in summary["states"]
    ]
    note = (
        "Each label is judged as a whole copy: residues without it are in their conformer of "
        "highest occupancy. RSCC is of the atoms of the label alone, with what the others leave "
        "of the map."
    )
    return [Table(columns, rows, note=note)]


def _method_blocks(found: ModelValidation) -> list[Block]:
    texts = [
        "Clashes are counted between centres of atoms, with riding hydrogens at the places that "
        "heavy atoms give unless --keep-hydrogens was set; atoms of different altlocs do not "
        "clash, mates by symmetry are left out.",
        "Ramachandran regions are unstill's own, of 129 498 residues; they differ a little from "
        "those of MolProbity. Rotamers are those of Hintze et al. (2016) as a mixture of "
        "Gaussians, of whose residues 0.3 % are outliers and 98 % favoured; proline is not "
        "judged.",
    ]
    if found.amplitudes is not None and found.map is not None:
        texts.append(
            "RSCC is taken in the map of the file where it has one (FWT, PHWT), else in an "
            "unweighted 2Fo − Fc map with the phases of the model, which flatters the model."
        )
    return [Prose(text) for text in texts]
