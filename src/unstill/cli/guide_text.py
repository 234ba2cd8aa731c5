"""What ``unstill guide`` says of its result, to people and to programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unstill.cli.verb import Verb
    from unstill.workflows.guide_map import GuideResult
    from unstill.workflows.guide_map.guiding import RFactors


def tell_guided(verb: Verb, result: GuideResult) -> None:
    """Say what guidance found, and make it the result of the verb."""
    from dataclasses import asdict

    import numpy as np

    from unstill.workflows.guide_map.occupancies import states_of

    before, after = result.before, result.after
    several, atoms = states_of(result), result.model.atoms.atoms
    for note in result.model.notes:
        verb.say(note)

    def figures(judged: Any, r: RFactors | None) -> dict[str, Any]:
        return {
            "r_work": None if r is None else r.work,
            "r_free": None if r is None else r.free,
            "work": judged.work,
            "held_out": judged.held if np.isfinite(judged.held) else None,
            "gap": judged.gap if np.isfinite(judged.gap) else None,
            "rscc_median": float(np.nanmedian(judged.rscc)),
            "bond_rmsd": judged.bond_rmsd,
            "angle_rmsd": judged.angle_rmsd,
            "chirality_flips": judged.flips,
            "clashscore": judged.clashscore,
        }

    verb.result = {
        "n_members": result.state.n_members,
        "n_atoms": len(result.model.rows),
        "strength": result.strength,
        "tried": {f"{strength:g}": held for strength, held in result.tried.items()},
        "weights": result.state.weights,
        "states": [
            {
                "chain_id": str(atoms.chain_id[one.atom]),
                "res_id": int(atoms.res_id[one.atom]),
                "ins_code": str(atoms.ins_code[one.atom]),
                "res_name": str(atoms.res_name[one.atom]),
                "shares": list(one.shares),
                "apart": one.apart,
            }
            for one in several
        ],
        "before": figures(before, result.r_start),
        "after": figures(after, result.r_end),
        "diffuse_cc": result.diffuse_cc,
        "waters": None if result.waters is None else asdict(result.waters),
        "notes": list(result.model.notes),
    }
    verb.say(f"strength {result.strength:g}, {result.state.n_members} members")
    verb.say(f"{len(several)} of {result.shares.shape[1]} residues in several places")
    verb.say(f"correlation with the map {before.work:.3f} before, {after.work:.3f} after")
    start, end = result.r_start, result.r_end
    if start is not None and end is not None:
        verb.say(f"R_work {start.work:.4f} before, {end.work:.4f} after")
        verb.say(f"R_free {start.free:.4f} before, {end.free:.4f} after")
    if result.waters is not None:
        count = result.waters
        verb.say(f"waters: {count.kept} kept, {count.added} added, {count.deleted} deleted")
    if result.diffuse_cc is not None:
        verb.say(f"anisotropic correlation with the diffuse map {result.diffuse_cc:.3f}")
    if np.isfinite(after.held):
        unseen = "other half map" if result.data.has_judge else "held-out terms"
        verb.say(f"{unseen} {before.held:.3f} before, {after.held:.3f} after")
    verb.say(
        f"bonds {after.bond_rmsd:.4f} Å, {after.flips} centres of the wrong hand, clashscore "
        f"{after.clashscore:.1f} ({before.clashscore:.1f} before)"
    )
    for path in verb.outputs.values():
        verb.say(path)
