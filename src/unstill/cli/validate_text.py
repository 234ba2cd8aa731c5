"""The scores of a model as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unstill.workflows.validate_model import ModelValidation

_WIDTH = 96
_MEMBERS = 12


def validation_text(found: ModelValidation, name: str, *, most: int) -> list[str]:
    """Lines to print.

    Parameters
    ----------
    found
        What was found.
    name
        Of the model.
    most
        Residues that are listed.
    """
    summary = found.summary()
    members = summary["n_members"]
    lines = [
        f"{name}: {summary['n_atoms']} atoms, {members} member{'' if members == 1 else 's'}, "
        f"{summary['n_residues']} residues judged"
    ]
    lines += _table(("score", "value", ""), _overview(summary))
    if len(summary["members"]) > 1:
        lines += ["", "members", *_members(summary["members"])]
    if summary["states"]:
        lines += ["", "states (altlocs as whole copies)", *_states(summary["states"])]
    if "shells" in summary:
        lines += ["", "agreement by shell", *_shells(summary["shells"])]
    lines += ["", *_worst(summary, most)]
    return lines


def _overview(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = [
        *_geometry(summary),
        ("clashscore", _number(summary["clashscore"], 1), "clashes per 1000 atoms"),
        (
            "Ramachandran",
            f"{_percent(summary['ramachandran_favoured'])} favoured",
            f"{_percent(summary['ramachandran_outliers'])} outliers, of "
            f"{summary['n_ramachandran']} residues",
        ),
        (
            "rotamers",
            f"{_percent(summary['rotamers_favoured'])} favoured",
            f"{_percent(summary['rotamer_outliers'])} outliers, of {summary['n_rotamers']} side "
            "chains",
        ),
        ("RMSF", f"{_number(summary['spread']['rmsf_mean'], 2)} Å", "mean of the residues"),
    ]
    if "n_effective" in summary["spread"]:
        rows.append(
            (
                "members that count",
                _number(summary["spread"]["n_effective"], 1),
                f"mean RMSD between them {_number(summary['spread']['mean_pair_rmsd'], 2)} Å",
            )
        )
    if "r_work" in summary:
        rows.append(
            (
                "R_work / R_free",
                f"{_number(summary['r_work'], 4)} / {_number(summary['r_free'], 4)}",
                f"solvent {_percent(summary['solvent_fraction'])} of the cell",
            )
        )
    if "rscc" in summary:
        rows.append(
            (
                "RSCC",
                _number(summary["rscc"], 3),
                f"median of residues {_number(summary['rscc_median'], 3)}, to "
                f"{summary['d_min']:.2f} Å",
            )
        )
    return rows


def _geometry(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    if "bond_rmsd" not in summary:
        return []
    return [
        (
            "bonds",
            f"{_number(summary['bond_rmsd'], 4)} Å rms",
            f"Z {_number(summary['bond_rmsz'], 2)}",
        ),
        (
            "angles",
            f"{_number(summary['angle_rmsd'], 2)}° rms",
            f"Z {_number(summary['angle_rmsz'], 2)}",
        ),
        (
            "chirality flips",
            f"{summary['chirality_flips']:.3g}",
            f"planes {_number(summary['plane_rmsd'], 4)} Å rms",
        ),
    ]


def _members(members: list[dict[str, Any]]) -> list[str]:
    shown = members if len(members) <= _MEMBERS else members[:_MEMBERS]
    lines = _table(
        ("member", "weight", "clashscore", "Rama favoured", "outliers", "rotamer outliers"),
        [
            (
                str(one["member"]),
                _number(one["weight"], 3),
                _number(one["clashscore"], 1),
                _percent(one["ramachandran_favoured"]),
                _percent(one["ramachandran_outliers"]),
                _percent(one["rotamer_outliers"]),
            )
            for one in shown
        ],
    )
    if len(shown) < len(members):
        lines.append(f"… and {len(members) - len(shown)} more (--json, -o)")
    return lines


def _states(states: list[dict[str, Any]]) -> list[str]:
    return _table(
        (
            "altloc",
            "atoms",
            "occupancy",
            "clashscore",
            "Rama favoured",
            "rotamer outliers",
            "RSCC",
        ),
        [
            (
                one["altloc"],
                str(one["n_atoms"]),
                _number(one["occupancy"], 2),
                _number(one["clashscore"], 1),
                _percent(one["ramachandran_favoured"]),
                _percent(one["rotamer_outliers"]),
                _number(one["rscc"], 3),
            )
            for one in states
        ],
    )


def _shells(shells: list[dict[str, Any]]) -> list[str]:
    return _table(
        ("d (Å)", "work", "free", "R_work", "R_free"),
        [
            (
                f"{shell['d_max']:.2f}–{shell['d_min']:.2f}",
                str(shell["n_work"]),
                str(shell["n_free"]),
                _number(shell["r_work"], 3),
                _number(shell["r_free"], 3),
            )
            for shell in shells
        ],
    )


def _worst(summary: dict[str, Any], most: int) -> list[str]:
    residues = summary["residues"]
    if not residues:
        return ["no residue has a problem that is looked for"]
    lines = [f"residues to look at ({min(most, len(residues))} of {len(residues)})"]
    lines += _table(
        ("residue", "problems"),
        [
            (f"{one['chain']} {one['name']} {one['number']}", "; ".join(one["problems"]))
            for one in residues[:most]
        ],
    )
    return lines


def _table(head: tuple[str, ...], rows: list[Any]) -> list[str]:
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*row)
    stream = io.StringIO()
    Console(file=stream, width=_WIDTH, color_system=None, markup=False, emoji=False).print(table)
    return [line.rstrip() for line in stream.getvalue().rstrip("\n").splitlines()]


def _number(value: float | None, decimals: int) -> str:
    from unstill.report.numbers import number

    return number(value, decimals)


def _percent(value: float | None) -> str:
    text = _number(None if value is None else 100 * value, 1)
    return text if text == "–" else f"{text} %"
