"""Where guidance starts: one conformer of a model, and what around it stands still.

Hydrogens are left out: at the resolutions of densities they hardly scatter,
and riding ones can be added to any member. Of every residue one alternate
location is taken, the same letter along a run of residues; waters stand still
and are part of the density with all their places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.chemistry.residues import is_water
from unstill.chemistry.restraints import GeometryRestraints, build_restraints
from unstill.ensembles import Ensemble
from unstill.ensembles.selection import atom_mask
from unstill.errors import InputError
from unstill.shapes import Bool, Coords, Float, Int, PerAtom
from unstill.validation.residue_conformers import altlocs_of, residue_numbers

_POOREST = 2.0
"""B (Å²) below which atoms have no B of their own."""


@dataclass(frozen=True, eq=False)
class GuidedModel:
    """A model made ready for guidance.

    Parameters
    ----------
    source
        The model as it was read.
    rows
        ``(n_atoms,)`` rows of the source that are moved or held: one conformer.
    context
        ``(n_context,)`` rows of the source that only scatter: waters.
    movable
        ``(n_atoms,)`` False for atoms that stand still.
    occupancy
        ``(n_atoms,)`` of all alternates of an atom together, at most 1.
    restraints
        Of the atoms.
    notes
        What was left out or decided, for people.
    """

    source: Ensemble
    rows: Int[np.ndarray, " n_atoms"]
    context: Int[np.ndarray, " n_context"]
    movable: Bool[np.ndarray, " n_atoms"]
    occupancy: PerAtom
    restraints: GeometryRestraints
    notes: tuple[str, ...]

    @property
    def atoms(self) -> Ensemble:
        """The conformer that guidance starts from, one member."""
        return self.source.select(self.rows)

    @property
    def element(self) -> np.ndarray:
        """``(n_atoms,)`` symbols."""
        symbols: np.ndarray = self.source.element[self.rows]
        return symbols

    @property
    def b_factor(self) -> PerAtom:
        """``(n_atoms,)`` Å²; 20 where the model has none."""
        b = np.broadcast_to(self.source.b_factor, (1, self.source.n_atoms)).reshape(-1)[self.rows]
        known: np.ndarray = np.where(b < _POOREST, 20.0, b)
        return known

    @property
    def anchors(self) -> Int[np.ndarray, " k"]:
        """One atom of every residue that the fold hangs on: CA or P."""
        found: np.ndarray = np.flatnonzero(_anchors(self.source, self.rows))
        return found

    def with_members(
        self,
        coord: Coords,
        weights: Float[np.ndarray, " n_members"] | None = None,
        b_factor: PerAtom | None = None,
    ) -> Ensemble:
        """Ensemble of members in the rows and the order of the source, waters in each.

        Chains, numbers, insertion codes and names are the source's; alternate locations have no
        letter, for a member has one place for every atom.
        """
        chosen = np.concatenate([self.rows, self.water_rows])
        order = np.argsort(chosen, kind="stable")
        still = self.source.coord[0][self.water_rows]
        whole = np.concatenate(
            [coord, np.broadcast_to(still, (len(coord), *still.shape))], axis=1
        )[:, order]
        made = self.source.select(chosen[order])
        atoms = made.atoms.copy()
        if "altloc_id" in atoms.get_annotation_categories():
            atoms.altloc_id[:] = ""
        b = np.concatenate(
            [self.b_factor if b_factor is None else b_factor, self._values("b_factor")]
        )
        occupancy = np.concatenate([self.occupancy, self._values("occupancy")])
        return Ensemble(
            atoms,
            whole,
            occupancy=occupancy[order],
            b_factor=b[order],
            weights=np.full(len(coord), 1 / len(coord)) if weights is None else weights,
            crystal=self.source.crystal,
        )

    @property
    def water_rows(self) -> Int[np.ndarray, " n_waters"]:
        """Rows of the waters, one place of each."""
        chosen: np.ndarray = self.context[_one_of_each(self.source, self.context)]
        return chosen

    def _values(self, name: str) -> np.ndarray:
        values = np.broadcast_to(getattr(self.source, name), (1, self.source.n_atoms))
        found: np.ndarray = values.reshape(-1)[self.water_rows]
        return found


def starting_model(source: Ensemble, *, select: str | None = None) -> GuidedModel:
    """Choose one conformer of a model, and say which of its atoms move.

    Parameters
    ----------
    source
        A model with a crystal; of several models the first is taken.
    select
        Expression of :func:`unstill.ensembles.selection.atom_mask`: only these atoms move.

    Raises
    ------
    InputError
        If nothing is left to move, or the selection names no atom of the model.
    """
    notes = []
    if source.n_members > 1:
        notes.append(f"started from the first of {source.n_members} models")
        source = source.select_members(np.array([0]))
    hydrogen = np.isin(source.element, ["H", "D"])
    names = np.asarray(source.atoms.res_name, dtype=str)
    kinds, kind = np.unique(names, return_inverse=True)
    water = np.array([is_water(name) for name in kinds], dtype=bool)[kind]
    if hydrogen.any():
        notes.append(f"{int(hydrogen.sum())} hydrogens are left out")
    rest = np.flatnonzero(~hydrogen & ~water)
    rows = rest[_one_of_each(source, rest)]
    if not len(rows):
        raise InputError(
            "there is nothing to guide",
            found=f"{source.n_atoms} atoms, all of them water or hydrogen",
            fix="give a model of a molecule",
        )
    if len(rows) < len(rest):
        notes.append(f"{len(rest) - len(rows)} atoms of other alternate locations are left out")
    at = source.atoms
    restraints = build_restraints(
        source.coord[0][rows],
        at.atom_name[rows],
        at.res_name[rows],
        at.res_id[rows],
        at.ins_code[rows],
        at.chain_id[rows],
        at.element[rows],
    )
    movable = ~np.isin(names[rows], restraints.unknown_residues)
    if restraints.unknown_residues:
        notes.append(
            f"residues that no dictionary knows stand still: "
            f"{', '.join(restraints.unknown_residues)}"
        )
    if select is not None:
        movable &= atom_mask(source.atoms, select)[rows]
    else:
        residue = residue_numbers(source)[rows]
        loose = ~np.isin(residue, residue[_anchors(source, rows)])
        movable &= ~loose
        if loose.any():
            found = ", ".join(sorted(set(names[rows][loose].tolist())))
            notes.append(f"{found} stand still: nothing holds a ligand in noise; select to move")
    if not movable.any():
        raise InputError(
            "no atom can move",
            found=f"selection {select!r}" if select else "only residues without restraints",
            fix="select atoms of residues that the component dictionary knows",
        )
    return GuidedModel(
        source,
        rows,
        np.flatnonzero(~hydrogen & water),
        movable,
        _occupancies(source, rows, rest),
        restraints,
        tuple(notes),
    )


def _anchors(source: Ensemble, rows: np.ndarray) -> np.ndarray:
    """Which rows are the CA of an amino acid or the P of a nucleotide."""
    names = np.asarray(source.atoms.atom_name, dtype=str)[rows]
    chosen: np.ndarray = ((names == "CA") & (source.element[rows] == "C")) | (names == "P")
    return chosen


def _one_of_each(source: Ensemble, rows: np.ndarray) -> np.ndarray:
    """Places in ``rows`` of one conformer: in each run of split residues the fullest letter."""
    altloc = altlocs_of(source)[rows]
    residue = residue_numbers(source)[rows]
    occupancy = np.broadcast_to(source.occupancy, (1, source.n_atoms)).reshape(-1)[rows]
    split = np.unique(residue[altloc != ""])
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[altloc == ""] = True
    # Letters along a run go together: one conformer of a chain, not a patchwork.
    runs = np.split(split, np.flatnonzero(np.diff(split) > 1) + 1)
    for run in runs:
        inside = np.isin(residue, run) & (altloc != "")
        letters = np.unique(altloc[inside])
        full = [float(occupancy[inside & (altloc == letter)].sum()) for letter in letters]
        order = letters[np.argsort(-np.round(full, 6), kind="stable")]
        for number in run:
            own = inside & (residue == number)
            for letter in order:
                if (own & (altloc == letter)).any():
                    chosen |= own & (altloc == letter)
                    break
    # Atoms that the chosen letter lacks are taken from the next one that has them.
    names = np.asarray(source.atoms.atom_name, dtype=str)[rows]
    kinds = np.asarray(source.atoms.res_name, dtype=str)[rows]
    known = {(int(r), str(n)) for r, n in zip(residue[chosen], names[chosen], strict=True)}
    kind_of = dict(zip(residue[chosen].tolist(), kinds[chosen].tolist(), strict=True))
    for place in np.flatnonzero(~chosen):
        key = (int(residue[place]), str(names[place]))
        if key not in known and kind_of.get(key[0]) == kinds[place]:
            chosen[place] = True
            known.add(key)
    return np.flatnonzero(chosen & _first_of_name(residue, names, chosen))


def _first_of_name(residue: np.ndarray, names: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Microheterogeneity and doubled names: keep the first chosen row of each."""
    first = np.zeros(len(names), dtype=bool)
    seen: set[tuple[int, str]] = set()
    for place in np.flatnonzero(chosen):
        key = (int(residue[place]), str(names[place]))
        if key not in seen:
            seen.add(key)
            first[place] = True
    return first


def _occupancies(source: Ensemble, rows: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Occupancy of all alternates of an atom together."""
    residue = residue_numbers(source)
    names = np.asarray(source.atoms.atom_name, dtype=str)
    occupancy = np.broadcast_to(source.occupancy, (1, source.n_atoms)).reshape(-1)
    total: dict[tuple[int, str], float] = {}
    for row in rest.tolist():
        key = (int(residue[row]), str(names[row]))
        total[key] = total.get(key, 0.0) + float(occupancy[row])
    found = [total[int(residue[row]), str(names[row])] for row in rows.tolist()]
    return np.clip(found, 0.0, 1.0)
