"""The summary of a validation as plain values: the keys of ``unstill validate --json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unstill.validation.model_scores import ModelScores
from unstill.validation.residue_scores import ResidueProblems

if TYPE_CHECKING:
    from unstill.workflows.validate_model import ModelValidation


def summary_of(found: ModelValidation) -> dict[str, Any]:
    """Return the scores as numbers, texts, lists and dictionaries.

    Parameters
    ----------
    found
        What ``validate_model`` found.
    """
    scores, ensemble = found.scores, found.ensemble
    result: dict[str, Any] = {
        "n_members": ensemble.n_members,
        "n_atoms": ensemble.n_atoms,
        "n_residues": int(scores.chosen.sum()),
        **mean_scores(scores),
        **_geometry(found),
        "spread": _spread(found),
        "members": [
            {"member": number + 1, "weight": float(scores.weights[number])}
            | member_scores(scores, number)
            | _geometry(found, number)
            for number in range(ensemble.n_members)
        ],
        "states": _states(found),
        "residues": [_residue(one) for one in found.worst],
        "n_problem_residues": len(found.worst),
    }
    if found.amplitudes is not None:
        fit = found.amplitudes.fit
        result |= {
            "r_work": fit.r_work,
            "r_free": fit.r_free,
            "k_sol": fit.k_sol,
            "b_sol": fit.b_sol,
            "solvent_fraction": found.amplitudes.solvent_fraction,
            "shells": [
                {
                    "d_max": shell.d_max,
                    "d_min": shell.d_min,
                    "n_work": shell.n_work,
                    "n_free": shell.n_free,
                    "r_work": shell.r_work,
                    "r_free": shell.r_free,
                }
                for shell in fit.shells
            ],
        }
    if found.map is not None:
        result |= {
            "rscc": found.map.rscc,
            "rscc_median": median_rscc(found),
            "d_min": found.map.d_min,
            "n_atoms_off_map": found.map.n_unknown,
        }
    return result


def mean_scores(scores: ModelScores) -> dict[str, Any]:
    """Scores of coordinates, mean over members by weight."""
    verdicts = int(scores.backbone_chosen.sum())
    return {
        "clashscore": scores.mean(scores.clashscore),
        "n_ramachandran": verdicts,
        "ramachandran_favoured": scores.mean(scores.favoured),
        "ramachandran_allowed": scores.mean(1 - scores.favoured - scores.backbone_outliers),
        "ramachandran_outliers": scores.mean(scores.backbone_outliers),
        "n_rotamers": int(scores.rotamer_chosen.sum()),
        "rotamers_favoured": scores.mean(scores.rotamers_favoured),
        "rotamer_outliers": scores.mean(scores.rotamer_outliers),
        "side_chains_off_staggered": scores.mean(scores.eclipsed),
    }


def member_scores(scores: ModelScores, member: int) -> dict[str, Any]:
    """Scores of the coordinates of one member."""
    favoured, outliers = scores.favoured[member], scores.backbone_outliers[member]
    return {
        "clashscore": float(scores.clashscore[member]),
        "ramachandran_favoured": float(favoured),
        "ramachandran_outliers": float(outliers),
        "rotamer_outliers": float(scores.rotamer_outliers[member]),
    }


def median_rscc(found: ModelValidation) -> float:
    """Median over the chosen residues: without waters, if there is anything else."""
    if found.map is None:
        return float("nan")
    scores = found.scores
    known = np.isfinite(found.map.residue_rscc) & scores.chosen
    dry = known & ~scores.residues.is_water
    counted = dry if dry.any() else known
    return float(np.median(found.map.residue_rscc[counted])) if counted.any() else float("nan")


def _geometry(found: ModelValidation, member: int | None = None) -> dict[str, Any]:
    """Of one member, or the mean by weight; empty without restraints."""
    geometry = found.geometry
    if geometry is None:
        return {}
    values = {
        "bond_rmsd": geometry.bond_rms,
        "bond_rmsz": geometry.bond_rms_z,
        "angle_rmsd": geometry.angle_rms,
        "angle_rmsz": geometry.angle_rms_z,
        "plane_rmsd": geometry.plane_rms,
        "chirality_flips": geometry.n_flips.astype(float),
    }
    if member is not None:
        return {name: float(value[member]) for name, value in values.items()}
    return {name: found.scores.mean(value) for name, value in values.items()}


def _spread(found: ModelValidation) -> dict[str, Any]:
    rmsf = found.scores.rmsf[found.scores.chosen]
    known = np.isfinite(rmsf)
    result: dict[str, Any] = {
        "rmsf_mean": float(rmsf[known].mean()) if known.any() else None,
        "rmsf_largest": float(rmsf[known].max()) if known.any() else None,
    }
    if found.spread is not None:
        result |= {
            "mean_pair_rmsd": found.spread.mean_pair_rmsd,
            "nearest_pair_rmsd": found.spread.nearest_pair_rmsd,
            "n_effective": found.spread.n_effective,
        }
    return result


def _states(found: ModelValidation) -> list[dict[str, Any]]:
    rscc = {} if found.map is None else {state.label: state.rscc for state in found.map.states}
    return [
        {
            "altloc": state.copy.label,
            "n_atoms": int(state.copy.own.sum()),
            "occupancy": state.occupancy,
            **mean_scores(state.scores),
            "rscc": rscc.get(state.copy.label),
        }
        for state in found.states
    ]


def _residue(one: ResidueProblems) -> dict[str, Any]:
    return {
        "chain": one.chain_id,
        "number": f"{one.res_id}{one.ins_code}",
        "name": one.res_name,
        "rscc": one.rscc,
        "rmsf": one.rmsf,
        "problems": list(one.problems),
        "gravity": one.gravity,
    }
