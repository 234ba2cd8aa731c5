"""What ``weigh`` and ``enrich`` write and say, spelled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unstill.cli.json_file import write_json
from unstill.cli.member_input import MemberInput
from unstill.cli.out_folder import check_folder, make_folder
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    import numpy as np

    from unstill.ensembles import Ensemble
    from unstill.io import WeightsTable
    from unstill.provenance import Provenance
    from unstill.report.page import Page
    from unstill.weighting.prepare import Prepared
    from unstill.weighting.result import Weighed
    from unstill.weighting.states import StatePopulation

ObservedMap = Annotated[Path, typer.Option("--observed", help="The measured diffuse map.")]
Folder = Annotated[
    Path, typer.Option("-o", "--out", help="Folder for weights.csv, report.html and the rest.")
]
Holdout = Annotated[
    float,
    typer.Option("--holdout", help="Share of the data that no fit sees: above 0, up to 0.5."),
]
Null = Annotated[int, typer.Option("--null", min=20, help="Permutations of the null control.")]
States = Annotated[
    Path | None,
    typer.Option("--states", help="Labels of states, one a frame or one a member (text or CSV)."),
]
Frames = Annotated[
    list[Path] | None,
    typer.Option(
        "--frames",
        help="Topology, then trajectories behind the sums (repeat the option); writes the "
        "weighted ensemble.",
    ),
]
Members = Annotated[
    int, typer.Option("--members", min=1, help="Most members of the weighted ensemble.")
]
Atoms = Annotated[
    str, typer.Option("--atoms", help="Atoms of the weighted ensemble: all, protein, ...")
]

_MOST_ROWS = 2_000_000
"""Atoms times members of an mmCIF file that is still of use."""


def file_names(out: Path, verb: str, *, ensemble: bool) -> dict[str, Path]:
    """Every file that will be written, by its name in ``outputs``."""
    names = {
        "weights_file": "weights.csv",
        "weighted_map": "weighted.nxs",
        "results": f"{verb}.json",
        "report": "report.html",
    }
    if ensemble:
        names |= {"ensemble": "ensemble.cif", "ensemble_table": "ensemble.csv"}
    return {name: out / file for name, file in names.items()}


def check_files(verb: Verb, out: Path, files: Mapping[str, Path], inputs: Sequence[Path]) -> None:
    """Refuse a folder that takes no files, or where they would replace what is read."""
    from unstill.cli.outputs import check_distinct

    check_folder(out, [path.name for path in files.values()])
    check_distinct(files.values(), inputs)
    known = {*file_names(out, "weigh", ensemble=True).values(), out / "enrich.json"}
    for path in sorted(known - set(files.values())):
        if path.exists():
            verb.warn(f"{path} is of an earlier run and will not go with the rest of the folder")


def read_labels(path: Path | None) -> np.ndarray | None:
    """Labels of states, if there are any."""
    from unstill.io import read_state_labels

    return None if path is None else read_state_labels(path)


def check_labels(labels: np.ndarray | None, ready: Prepared) -> None:
    """Refuse labels that do not fit the members, before the long work."""
    from unstill.weighting.states import state_shares

    if labels is not None:
        state_shares(labels, ready.table.n_frames)


def chosen_atoms(opened: MemberInput, atoms: str) -> np.ndarray | None:
    """Which atoms the ensemble shall have; a selection that fails does so before the long work."""
    from unstill.ensembles.selection import atom_mask

    if opened.opened is None or atoms == "all":
        return None
    return atom_mask(opened.opened.frames.atoms, atoms)


@dataclass
class Output:
    """What one run writes.

    Parameters
    ----------
    verb
        The verb.
    files
        From :func:`file_names`.
    found
        The result.
    labels
        Labels of states, or ``None``.
    record
        Provenance.
    opened
        The members, and the frames behind them where these are known.
    """

    verb: Verb
    files: dict[str, Path]
    found: Weighed
    labels: np.ndarray | None
    record: Provenance
    opened: MemberInput

    def __post_init__(self) -> None:
        from unstill.weighting.states import state_populations

        found = self.found
        self.populations: tuple[StatePopulation, ...] = ()
        if self.labels is not None:
            self.populations = state_populations(
                self.labels,
                found.weights,
                found.prior,
                found.n_frames,
                getattr(found, "weight_draws", None),
            )

    def write(
        self,
        page: Callable[..., Page],
        *,
        title: str,
        subject: str,
        members: int,
        atoms: np.ndarray | None,
    ) -> None:
        """Write table, map, JSON, report and ensemble; nothing before all of them are made."""
        from unstill.io import write_map, write_structure, write_weights_csv
        from unstill.report.page import write_page

        found, files = self.found, self.files
        self.verb.result = found.as_dict() | {
            "weights_file": str(files["weights_file"].absolute()),
            "states": [one.as_dict() for one in self.populations] or None,
        }
        provenance = self.record.as_dict()
        table = self._table()
        ensemble = self._ensemble(members, atoms)
        made = page(
            found,
            provenance,
            self.verb.warnings,
            populations=self.populations,
            title=title,
            subject=subject,
            kind="measured",
        )
        notes = {**provenance, self.verb.name: self.verb.result}
        make_folder(files["weights_file"].parent)
        write_weights_csv(table, files["weights_file"])
        write_map(found.weighted_map.replace(provenance=notes), files["weighted_map"])
        write_json(files["results"], {**self.verb.result, "provenance": provenance})
        write_page(made, files["report"])
        if ensemble is not None:
            write_structure(ensemble, files["ensemble"], provenance=provenance)
            _write_member_table(ensemble, files["ensemble_table"])
        for name, path in files.items():
            # Sums and MTZ files hold no coordinates, whatever --supercell says.
            if ensemble is not None or not name.startswith("ensemble"):
                self.verb.output(name, path)

    def tell(self) -> None:
        """Say the populations, and what was written."""
        for one in self.populations:
            self.verb.say(
                f"state {one.label}: {one.prior:.3f} → {one.population:.3f} ± {one.error:.3f}"
            )
        for name, path in self.verb.outputs.items():
            self.verb.say(f"{name}: {path}")

    def _table(self) -> WeightsTable:
        from unstill.io import WeightsTable
        from unstill.weighting.states import state_shares

        found, columns = self.found, {}
        if self.labels is not None:
            names, of_state = state_shares(self.labels, found.n_frames)
            columns = {"states": tuple(names), "shares": of_state}
        return WeightsTable(
            n_frames=found.n_frames,
            prior=found.prior,
            weight=found.weights,
            error=getattr(found, "weight_errors", None),  # type: ignore[arg-type]
            first_frame=self.opened.starts(found.n_members),  # type: ignore[arg-type]
            **columns,  # type: ignore[arg-type]
        )

    def _ensemble(self, members: int, atoms: np.ndarray | None) -> Ensemble | None:
        """Return the weighted ensemble, where the frames are known."""
        from unstill.weighting.weighted_ensemble import weighted_ensemble

        opened, found = self.opened, self.found
        if opened.opened is None or opened.divisions is None:
            return None
        n_atoms = opened.opened.frames.atoms.array_length() if atoms is None else int(atoms.sum())
        most = max(1, _MOST_ROWS // max(n_atoms, 1))
        if members > most and opened.opened.n_frames > most:
            self.verb.warn(
                f"the weighted ensemble holds at most {most} members, not {members}, because "
                f"each has {n_atoms} atoms; choose fewer with --atoms protein"
            )
        ensemble = weighted_ensemble(
            opened.opened,
            opened.divisions,
            found.weights,
            found.n_frames,
            n_members=min(members, most),
            selection=atoms,
            first_frame=opened.starts(found.n_members),
        )
        return ensemble.replace(
            provenance={**ensemble.provenance, "weighing": self.record.as_dict()}
        )


def say_agreement(verb: Verb, found: Weighed) -> None:
    """Say what the weights are worth, the null control beside it."""
    from unstill.weighting.verdict import MEANING

    verb.say(
        f"N_eff {found.n_eff_kl:.1f} (entropy), {found.n_eff:.1f} (1/Σw²) of {found.n_members}"
    )
    verb.say()
    verb.say("  CC                     before    after   null gain: mean, largest")
    for where, part in (
        ("work", "total"),
        ("work", "aniso"),
        ("free", "total"),
        ("free", "aniso"),
    ):
        before = getattr(getattr(found, f"uniform_{where}"), part)
        after = getattr(getattr(found, f"cc_{where}"), part)
        chance = ""
        if found.null is not None:
            null = found.null.same_theta or found.null
            # At the correlation of these data, as the verdict compares them.
            gains = null.gains_at(where, part, before)
            chance = f"   {gains.mean():+.4f}  {gains.max():+.4f}"
        verb.say(f"  {where:5}{part:<14}{before:10.4f}{after:9.4f}{chance}")
    low, high = found.gain_interval
    gain = found.cc_free.aniso - found.uniform_free.aniso
    verb.say()
    verb.say(f"free anisotropic gain {gain:+.4f} [{low:+.4f}, {high:+.4f}]")
    if found.null is not None:
        verb.say(
            f"null control: {found.null.n_permutations} permutations, free anisotropic CC "
            f"{found.null.values('free', 'aniso').mean():+.4f} on average, "
            f"N_eff at least {found.null.n_eff_kl.min():.1f}"
        )
    verb.say(f"verdict: {found.verdict}: {MEANING[found.verdict]}")


def _write_member_table(ensemble: Ensemble, path: Path) -> None:
    from unstill.io.atomic import atomic_path
    from unstill.weighting.weighted_ensemble import member_rows

    lines = ["model,frame,weight"]
    lines += [f"{row.model},{row.frame},{row.weight!r}" for row in member_rows(ensemble)]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
