"""What ``weigh`` and ``enrich`` write and say, spelled once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.json_file import write_json
from unstill.cli.member_input import MemberInput
from unstill.cli.out_folder import make_folder
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    import numpy as np

    from unstill.ensembles import Ensemble
    from unstill.provenance import Provenance
    from unstill.weighting.result import Weighed
    from unstill.weighting.states import StatePopulation

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


def read_labels(path: Path | None) -> np.ndarray | None:
    """Labels of states, if there are any."""
    from unstill.io import read_state_labels

    return None if path is None else read_state_labels(path)


@dataclass
class Output:
    """Files of one run.

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
    """

    verb: Verb
    files: dict[str, Path]
    found: Weighed
    labels: np.ndarray | None
    record: Provenance

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

    def write(self, page: Callable[..., Any], *, subject: str) -> None:
        """Write table, map, JSON and report."""
        from unstill.io import WeightsTable, write_map, write_weights_csv
        from unstill.report.page import write_page
        from unstill.weighting.states import state_shares

        found, files = self.found, self.files
        columns: dict[str, Any] = {}
        if self.labels is not None:
            names, of_state = state_shares(self.labels, found.n_frames)
            columns = {"states": tuple(names), "shares": of_state}
        errors = getattr(found, "weight_errors", None)
        if errors is not None:
            columns["error"] = errors
        self.verb.result = found.as_dict() | {
            "weights_file": str(files["weights_file"].absolute()),
            "states": [one.as_dict() for one in self.populations] or None,
        }
        provenance = self.record.as_dict()
        make_folder(files["weights_file"].parent)
        table = WeightsTable(
            n_frames=found.n_frames,
            prior=found.prior,
            weight=found.weights,
            **columns,
        )
        write_weights_csv(table, files["weights_file"])
        notes = {**provenance, self.verb.name: self.verb.result}
        write_map(found.weighted_map.replace(provenance=notes), files["weighted_map"])
        write_json(files["results"], {**self.verb.result, "provenance": provenance})
        made = page(
            found,
            provenance,
            self.verb.warnings,
            populations=self.populations,
            title=f"Weights of {found.n_members} members against {subject}",
            subject=subject,
            kind="measured",
        )
        write_page(made, files["report"])
        for name in ("weights_file", "weighted_map", "results", "report"):
            self.verb.output(name, files[name])

    def write_ensemble(self, opened: MemberInput, *, members: int, atoms: str) -> None:
        """Write the weighted ensemble, where the frames are known."""
        from unstill.ensembles.selection import atom_mask
        from unstill.io import write_structure
        from unstill.weighting.weighted_ensemble import weighted_ensemble

        if opened.opened is None or opened.divisions is None:
            return
        everything = opened.opened.frames.atoms
        chosen = None if atoms == "all" else atom_mask(everything, atoms)
        n_atoms = everything.array_length() if chosen is None else int(chosen.sum())
        most = max(1, _MOST_ROWS // max(n_atoms, 1))
        if members > most:
            self.verb.warn(
                f"the weighted ensemble holds {most} members instead of {members}, because each "
                f"has {n_atoms} atoms; choose fewer with --atoms protein"
            )
        ensemble = weighted_ensemble(
            opened.opened,
            opened.divisions,
            self.found.weights,
            self.found.n_frames,
            n_members=min(members, most),
            selection=chosen,
        )
        ensemble = ensemble.replace(
            provenance={**ensemble.provenance, "weighing": self.record.as_dict()}
        )
        write_structure(ensemble, self.files["ensemble"])
        _write_table(ensemble, self.files["ensemble_table"])
        self.verb.output("ensemble", self.files["ensemble"])
        self.verb.output("ensemble_table", self.files["ensemble_table"])

    def tell(self) -> None:
        """Say the populations, and what was written."""
        for one in self.populations:
            self.verb.say(
                f"state {one.label}: {one.prior:.3f} → {one.population:.3f} ± {one.error:.3f}"
            )
        for name, path in self.verb.outputs.items():
            self.verb.say(f"{name}: {path}")


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
            gains = null.gains(where, part)
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


def _write_table(ensemble: Ensemble, path: Path) -> None:
    from unstill.io.atomic import atomic_path
    from unstill.weighting.weighted_ensemble import member_rows

    lines = ["model,frame,weight"]
    lines += [f"{row.model},{row.frame},{row.weight!r}" for row in member_rows(ensemble)]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
