"""The finish: members with riding hydrogens are relaxed, and the hydrogens taken off again.

Hydrogens fill half of the space between atoms; members that never saw them
interlock. At the end they are put on, held as they ride (staggered methyls
stay staggered), and the heavy atoms make room for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.chemistry.restraints import build_restraints
from unstill.ensembles import Ensemble
from unstill.guidance.priors.geometry import (
    ContactRadii,
    GeometryPrior,
    three_bonds_apart,
)
from unstill.guidance.priors.springs import Springs
from unstill.guidance.start import GuidedModel
from unstill.shapes import Coords
from unstill.validation.clashscore import contact_radii
from unstill.validation.residue_conformers import residue_numbers
from unstill.validation.riding_hydrogens import add_riding_hydrogens

_RIDING = 0.05
"""Standard deviation (Å) of the distances that hold a hydrogen where it rides."""


class Finish:
    """Relaxes members of a guided model with explicit hydrogens.

    Parameters
    ----------
    model
        Whose members they are.
    """

    def __init__(self, model: GuidedModel) -> None:
        self._model = model
        ridden = add_riding_hydrogens(_single(model.atoms))
        self._order = np.argsort(residue_numbers(ridden), kind="stable")
        atoms = ridden.select(self._order)
        at = atoms.atoms
        reference = atoms.coord[0].astype(float)
        restraints = build_restraints(
            reference, at.atom_name, at.res_name, at.res_id, at.ins_code, at.chain_id, at.element
        )
        hydrogen = atoms.element == "H"
        radius, acceptor, donor = contact_radii(atoms)
        movable = np.ones(atoms.n_atoms, dtype=bool)
        movable[np.argsort(self._order)[: len(model.movable)]] = model.movable
        both = np.concatenate([restraints.bonds, restraints.bonds[:, ::-1]])
        riding = both[hydrogen[both[:, 0]]]
        movable[riding[:, 0]] = movable[riding[:, 1]]
        pairs = three_bonds_apart(restraints)
        pairs = pairs[hydrogen[pairs].any(axis=1)]
        lengths = np.linalg.norm(reference[pairs[:, 0]] - reference[pairs[:, 1]], axis=1)
        self._prior = GeometryPrior(
            restraints,
            atoms.element,
            reference,
            springs=_ends_only(pairs, lengths, both, hydrogen),
            contacts=ContactRadii(radius, acceptor, donor),
            crystal=model.source.crystal,
            movable=movable,
        )

    def relax(self, coord: Coords, sigma: float, n_rounds: int = 2) -> Coords:
        """Members (Å) that make room for their hydrogens.

        Parameters
        ----------
        coord
            ``(n_members, n_atoms, 3)`` of the model's atoms.
        sigma
            Å that atoms may go in a round.
        n_rounds
            Hydrogens are put on anew in each.
        """
        n = coord.shape[1]
        start = _single(self._model.atoms)
        for _ in range(n_rounds):
            # The first member decides which hydrogens there are: it is the start, every time.
            members = np.concatenate([start.coord, coord])
            even = np.full(len(members), 1 / len(members))
            ridden = add_riding_hydrogens(start.replace(coord=members, weights=even))
            relaxed = self._prior.denoise(ridden.coord[1:, self._order], sigma)
            back = np.empty_like(relaxed)
            back[:, self._order] = relaxed
            coord = back[:, :n]
        return coord


@dataclass(frozen=True, eq=False)
class Staged:
    """The geometry prior, with explicit hydrogens where places are certain enough for them.

    Parameters
    ----------
    prior
        Of the heavy atoms.
    finish
        Of the same atoms.
    below
        Noise level (Å) from which hydrogens are put on.
    """

    prior: GeometryPrior
    finish: Finish
    below: float = 0.3

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return self.prior.n_atoms

    def sample_init(self, n_members: int, sigma: float, rng: np.random.Generator) -> Coords:
        """Return copies of the reference with noise of s.d. ``sigma`` (Å) where atoms move."""
        return self.prior.sample_init(n_members, sigma, rng)

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Nearest coordinates that chemistry allows, for noise of s.d. ``sigma`` (Å)."""
        clean = self.prior.denoise(x, sigma)
        return self.finish.relax(clean, sigma, 1) if sigma <= self.below else clean


def _single(atoms: Ensemble) -> Ensemble:
    """Return the atoms without letters: one conformer has no alternate locations."""
    plain = atoms.atoms.copy()
    if "altloc_id" in plain.get_annotation_categories():
        plain.altloc_id[:] = ""
    return atoms.replace(atoms=plain, coord=atoms.coord.astype(float))


def _ends_only(
    pairs: np.ndarray, lengths: np.ndarray, both: np.ndarray, hydrogen: np.ndarray
) -> Springs:
    """Springs of hydrogens on atoms at the end of a chain, which would turn without them."""
    heavy = both[~hydrogen[both[:, 1]]]
    n_heavy = np.bincount(heavy[:, 0], minlength=len(hydrogen))
    parent = np.full(len(hydrogen), -1)
    riding = both[hydrogen[both[:, 0]]]
    parent[riding[:, 0]] = riding[:, 1]
    first = np.where(hydrogen[pairs[:, 0]], pairs[:, 0], pairs[:, 1])
    other = np.where(hydrogen[pairs[:, 0]], pairs[:, 1], pairs[:, 0])
    chosen = (n_heavy[parent[first]] == 1) & ~hydrogen[other]
    return Springs(pairs[chosen], lengths[chosen], np.full(int(chosen.sum()), _RIDING))
