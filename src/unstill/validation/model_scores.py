"""Everything that coordinates alone say about a model: geometry, clashes, torsions, spread.

Alternate locations are judged one by one where a score is of a residue (torsions), and
together where it is of the whole (clashes: those of different labels do not clash).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.shapes import Bool, Float
from unstill.validation.clashscore import Clashes, find_clashes
from unstill.validation.ramachandran import Ramachandran, classify_backbone
from unstill.validation.residue_rmsf import residue_rmsf
from unstill.validation.residue_table import ResidueTable, residue_table
from unstill.validation.riding_hydrogens import add_riding_hydrogens
from unstill.validation.rotamer_outliers import Rotamers, classify_side_chains
from unstill.validation.rotamers import SideChains, side_chain_torsions


@dataclass(frozen=True, eq=False)
class ModelScores:
    """Scores of a model, of all members.

    Parameters
    ----------
    ensemble
        What was judged: heavy atoms, then hydrogens.
    residues
        Its residues.
    chosen
        ``(n_residues,)`` those that the scores are of.
    clashes
        Of the whole model.
    ramachandran, side_chains, rotamers
        Of the whole model; ``backbone_chosen`` and ``side_chain_chosen`` tell which rows count.
    rmsf
        ``(n_residues,)`` Å.
    """

    ensemble: Ensemble
    residues: ResidueTable
    chosen: Bool[np.ndarray, " n_residues"]
    clashes: Clashes
    ramachandran: Ramachandran
    side_chains: SideChains
    rotamers: Rotamers
    rmsf: Float[np.ndarray, " n_residues"]

    @property
    def weights(self) -> Float[np.ndarray, " n_members"]:
        """Of the members."""
        return self.ensemble.weights

    @property
    def backbone_chosen(self) -> Bool[np.ndarray, " n"]:
        """Rows of the Ramachandran classes that count."""
        return self._of_atoms(self.ramachandran.torsions.atom)

    @property
    def side_chain_chosen(self) -> Bool[np.ndarray, " n"]:
        """Rows of the side chains that count."""
        return self._of_atoms(self.side_chains.atom)

    @property
    def clashing(self) -> tuple[Bool[np.ndarray, " n_clashes"], ...]:
        """For each member, clashes with a chosen residue."""
        kept = []
        for pairs in self.clashes.pairs:
            mine = self._of_atoms(pairs.reshape(-1)).reshape(-1, 2)
            kept.append(np.asarray(mine.any(axis=1)))
        return tuple(kept)

    @property
    def clashscore(self) -> Float[np.ndarray, " n_members"]:
        """Clashes of chosen residues per thousand of their atoms that are not water."""
        water = self.residues.is_water[self.residues.of_atom]
        counted = self.chosen[self.residues.of_atom] & ~water
        shape = (self.ensemble.n_members, self.ensemble.n_atoms)
        there = np.broadcast_to(self.ensemble.occupancy, shape) > 0.1
        n_atoms = (there & counted).sum(axis=1)
        n_clashes = np.array([int(kept.sum()) for kept in self.clashing])
        score: np.ndarray = np.full(len(n_atoms), np.nan)
        np.divide(1000.0 * n_clashes, n_atoms, out=score, where=n_atoms > 0)
        return score

    @property
    def favoured(self) -> Float[np.ndarray, " n_members"]:
        """Share of favoured backbones; NaN without any."""
        return _share(self.ramachandran.verdict[:, self.backbone_chosen] == 2)

    @property
    def backbone_outliers(self) -> Float[np.ndarray, " n_members"]:
        """Share of Ramachandran outliers; NaN without any backbone."""
        return _share(self.ramachandran.verdict[:, self.backbone_chosen] == 0)

    @property
    def eclipsed(self) -> Float[np.ndarray, " n_members"]:
        """Share of side chains with a torsion more than 30° off staggered; NaN without any."""
        with_torsion = self.side_chain_chosen & np.isfinite(self.side_chains.deviation).any((0, 2))
        return _share(self.side_chains.eclipsed[:, with_torsion])

    @property
    def rotamer_chosen(self) -> Bool[np.ndarray, " n"]:
        """Side chains that count and have rotamers."""
        chosen: np.ndarray = self.side_chain_chosen & self.rotamers.judged
        return chosen

    @property
    def rotamer_outliers(self) -> Float[np.ndarray, " n_members"]:
        """Share of rotamer outliers; NaN without side chains that have rotamers."""
        return _share(self.rotamers.verdict[:, self.rotamer_chosen] == 0)

    @property
    def rotamers_favoured(self) -> Float[np.ndarray, " n_members"]:
        """Share of favoured rotamers; NaN without side chains that have rotamers."""
        return _share(self.rotamers.verdict[:, self.rotamer_chosen] == 2)

    def mean(self, values: Float[np.ndarray, " n_members"]) -> float:
        """Mean over members by weight."""
        held = self.weights > 0
        return float(self.weights[held] @ values[held])

    def _of_atoms(self, atoms: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = self.chosen[self.residues.of_atom[atoms]]
        return chosen


def score_model(
    ensemble: Ensemble,
    selected: Bool[np.ndarray, " n_atoms"] | None = None,
    *,
    keep_hydrogens: bool = False,
) -> ModelScores:
    """Judge the coordinates of every member.

    Parameters
    ----------
    ensemble
        One or several members, alternate locations included.
    selected
        ``(n_atoms,)``: residues with one of these atoms are judged, among all others. All by
        default.
    keep_hydrogens
        Judge the hydrogens of the model; else riding hydrogens are put in their place.

    Raises
    ------
    InputError
        If no atom is selected, or there is nothing that could clash.
    """
    chosen_atoms = np.ones(ensemble.n_atoms, bool) if selected is None else np.asarray(selected)
    if chosen_atoms.shape != (ensemble.n_atoms,) or not chosen_atoms.any():
        raise InputError(
            "the selection holds no atom, or is not one of the atoms",
            found=f"shape {chosen_atoms.shape}, {int(chosen_atoms.sum())} of "
            f"{ensemble.n_atoms} atoms",
            fix="select atoms that the model has",
        )
    hydrogen = np.isin(ensemble.element, ["H", "D"])
    rank = np.argsort(hydrogen, kind="stable")
    if hydrogen.all() or keep_hydrogens:
        model = ensemble.select(rank)
    else:
        model = add_riding_hydrogens(ensemble)
    own = residue_table(ensemble)
    wanted = {own.key(row) for row in np.unique(own.of_atom[chosen_atoms]).tolist()}
    residues = residue_table(model)
    chains = side_chain_torsions(model)
    chosen = np.array([residues.key(row) in wanted for row in range(residues.n)], dtype=bool)
    return ModelScores(
        model,
        residues,
        chosen,
        find_clashes(model),
        classify_backbone(model),
        chains,
        classify_side_chains(chains),
        residue_rmsf(model, residues),
    )


def _share(found: np.ndarray) -> np.ndarray:
    if found.shape[1] == 0:
        return np.full(len(found), np.nan)
    share: np.ndarray = found.mean(axis=1)
    return share
