"""What ``unstill convert`` tells people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.ensembles.decode import DecodeReport
    from unstill.ensembles.encode import EncodeReport


def say_encoded(verb: Verb, report: EncodeReport) -> None:
    """Say what an ensemble became."""
    verb.say(
        f"{report.n_members} members of {report.n_atoms} atoms → {report.n_states} states, "
        f"{report.n_rows} atom lines ({report.compression:.1f} times fewer)"
    )
    if report.profile == "lossless":
        verb.say("every place, member and weight is kept; --members recorded restores them")
        return
    verb.say(
        f"residues are {report.rmsd_mean:.3f} Å (mean) and {report.rmsd_max:.3f} Å (most) from "
        f"their states; the bound is {report.eps:g} Å"
    )
    if report.n_junctions:
        what = "same-letter" if report.profile == "legacy" else "rebuilt"
        verb.say(
            f"{what} bonds C–N off by more than 0.1 Å: {report.n_off} (the ensemble itself has "
            f"{report.n_off_given}); the worst {report.worst_junction:.3f} Å"
        )
    if report.profile == "legacy":
        verb.say(
            f"{report.n_labels} letters; population without a letter: "
            f"{100 * report.dropped:.2f} % (mean over residues)"
        )
    widest = max(report.residues, key=lambda one: one.spread, default=None)
    if widest is not None and widest.spread > 0:
        verb.say(
            f"spread inside states went into B; the most, {widest.spread:.2f} Å, "
            f"of {widest.residue}"
        )


def say_decoded(verb: Verb, report: DecodeReport) -> None:
    """Say what a model became."""
    verb.say(
        f"{report.n_members} members of {report.groups} sets of alternatives "
        f"({report.partial_groups} partial; 10^{report.combinations_log10:.1f} combinations)"
    )
    verb.say(
        f"occupancies are met to {report.max_marginal_error:.4f}"
        + (f" (worst {report.worst_row})" if report.max_marginal_error > 1e-6 else "")
    )
    proven = "proven least" if report.proven else f"at least {report.clashes_bound:g}, not proven"
    verb.say(
        f"clashes: {report.clashes:g} ({proven}; dealt at random {report.clashes_random:g}, "
        f"populations alone force {report.clashes_floor:g})"
    )
    if report.junctions_random:
        verb.say(
            f"chain bonds off by more than 0.1 Å: {report.junctions:g} "
            f"(dealt at random {report.junctions_random:g})"
        )
    if report.symmetry_clashes:
        verb.say(f"clashes with symmetry mates expected in a copy: {report.symmetry_clashes:.2f}")
    for name, over in report.excess[:5]:
        verb.say(f"scaled down: the alternatives of {name} sum to {over:.3f} too much")
