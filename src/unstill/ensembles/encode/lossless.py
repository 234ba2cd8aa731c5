"""An ensemble as a multiconformer model that holds every place of every atom."""

from __future__ import annotations

import numpy as np

from unstill.ensembles.encode.partitions import (
    ABSENT,
    Partitions,
    partitions_of_members,
    places_of_atoms,
)
from unstill.ensembles.encode.report import Encoded, EncodedResidue, EncodeReport, count_labels
from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.multiconformer import Members, Multiconformer, State
from unstill.ensembles.multiconformer.model import numbered
from unstill.ensembles.multiconformer.tree import ROOT
from unstill.errors import InputError


def encode_lossless(ensemble: Ensemble, *, digits: int | None = None) -> Encoded:
    """Encode an ensemble so that :func:`recorded_members` gives it back, bit for bit.

    A row is an atom in a place that some members share (equal coordinates,
    occupancy, B and U). Atoms whose places are shared by the same members share
    states; where one partition of the members refines another inside a residue,
    its states are nested in those of the other. What all members share is in
    the root. The altloc says which member has a place first (``A`` the first,
    ``AA`` the 27th): the rows labelled ``A``, with those without label, are the
    first member as a whole.

    Parameters
    ----------
    ensemble
        Each atom once, without altlocs. Where the occupancy of an atom is zero in
        some members and not in others, those do not have it, and its coordinates
        there are not kept.
    digits
        Round coordinates to so many decimals (Å) first; not at all by default.

    Returns
    -------
    Encoded
        Members, with weights, order and frames, are recorded in the model.

    Raises
    ------
    InputError
        If the ensemble has altlocs, or an atom twice.
    """
    check_plain(ensemble)
    rounded = ensemble
    if digits is not None:
        rounded = ensemble.replace(coord=np.round(ensemble.coord.astype(float), digits))
    atoms = ensemble.atoms
    residue = numbered(atoms.chain_id, atoms.res_id, atoms.ins_code)
    place = places_of_atoms(rounded)
    partitions = partitions_of_members(place, residue)
    model = _model(rounded, place, partitions)
    return Encoded(model, _report(ensemble, rounded, model, residue))


def check_plain(ensemble: Ensemble) -> None:
    """Refuse what is no ensemble of plain members.

    Raises
    ------
    InputError
        If the ensemble has altlocs, or an atom twice.
    """
    atoms = ensemble.atoms
    if "altloc_id" in atoms.get_annotation_categories():
        labels = np.char.strip(np.asarray(atoms.altloc_id, dtype=str))
        labelled = np.flatnonzero(~np.isin(labels, ("", ".", "?")))
        if len(labelled):
            raise InputError(
                "the members have altlocs, so what each member is remains open",
                found=f"{len(labelled)} atoms with a label, the first "
                f"{ensemble.label(int(labelled[0]))}",
                fix="keep one altloc of each atom, or make members of a model with altlocs "
                "(--to ensemble)",
            )
    site = numbered(atoms.chain_id, atoms.res_id, atoms.ins_code, atoms.res_name, atoms.atom_name)
    twice = np.flatnonzero(np.bincount(site, minlength=1) > 1)
    if len(twice):
        first = int(np.flatnonzero(site == twice[0])[0])
        raise InputError(
            "an atom stands twice in the ensemble",
            found=f"{len(twice)} atoms, the first {ensemble.label(first)}",
            fix="give each atom a chain, residue number and name of its own",
        )


def letters(number: int) -> str:
    """Name a number from 0 on: A … Z, AA … ZZ, AAA ….

    Examples
    --------
    >>> [letters(number) for number in (0, 25, 26, 701, 702)]
    ['A', 'Z', 'AA', 'ZZ', 'AAA']
    """
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("A") + digit) + text
    return text


def _model(ensemble: Ensemble, place: np.ndarray, partitions: Partitions) -> Multiconformer:
    states, in_state, number = _states(ensemble, partitions)
    populations = ensemble.weights @ in_state
    member, atom, state = _rows(place, partitions, number)

    def of(values: np.ndarray, base: int = 1) -> np.ndarray:
        return np.asarray(values[member, atom] if values.ndim > base else values[atom])

    sites = ensemble.atoms.copy()
    if "altloc_id" in sites.get_annotation_categories():
        sites.del_annotation("altloc_id")
    labelled = state > 0
    names = np.array([letters(n) for n in range(ensemble.n_members)])
    known = {key: value for key, value in ensemble.provenance.items() if key != "frames"}
    return Multiconformer(
        sites,
        atom,
        state,
        ensemble.coord[member, atom].astype(float),
        of(ensemble.occupancy) * populations[state],
        of(ensemble.b_factor),
        np.where(labelled, names[member], ""),
        states,
        u_aniso=None if ensemble.u_aniso is None else of(ensemble.u_aniso, 2),
        members=Members(ensemble.weights, in_state, frames=ensemble.frames),
        crystal=ensemble.crystal,
        provenance=known,
    )


def _states(
    ensemble: Ensemble, partitions: Partitions
) -> tuple[tuple[State, ...], np.ndarray, dict[tuple[int, int], int]]:
    """States, members in them, and their number by partition and first member."""
    number: dict[tuple[int, int], int] = {}
    held = [np.ones(ensemble.n_members, dtype=bool)]
    for partition, first in enumerate(partitions.first):
        if (first == 0).all():
            number[partition, 0] = 0
            continue
        for member in partitions.classes(partition).tolist():
            number[partition, member] = len(held)
            held.append(first == member)
    in_state = np.stack(held, axis=1)
    states = [State(ROOT, details="what all members share")]
    populations = ensemble.weights @ in_state
    for (partition, member), place in number.items():
        if not place:
            continue
        above = int(partitions.parent[partition])
        parent = 0 if above < 0 else number[above, int(partitions.first[above, member])]
        # Somewhere below the parent these atoms are missing, not elsewhere.
        missing = (partitions.first[partition] == ABSENT) & in_state[:, parent]
        n_held = int(in_state[:, place].sum())
        states.append(
            State(
                letters(place - 1),
                ROOT if parent == 0 else letters(parent - 1),
                kind="compositional" if missing.any() else "conformational",
                details=f"{n_held} of {ensemble.n_members} members",
                occupancy=float(populations[place]),
                evidence="members of an ensemble",
            )
        )
    return tuple(states), in_state, number


def _rows(
    place: np.ndarray, partitions: Partitions, number: dict[tuple[int, int], int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First member, atom and state of every row, in the order of the atoms."""
    first = partitions.first[partitions.of_atom]
    # An atom that its residue's partition splits too finely has a row in each class.
    is_row = (first == np.arange(len(place))) & (place.T != ABSENT)
    atom, member = np.nonzero(is_row)
    table = np.zeros(partitions.first.shape, dtype=np.int64)
    for (partition, owner), state in number.items():
        table[partition, owner] = state
    return member, atom, table[partitions.of_atom[atom], member]


def _report(
    given: Ensemble, kept: Ensemble, model: Multiconformer, residue: np.ndarray
) -> EncodeReport:
    n_residues = int(residue.max(initial=-1)) + 1
    n_atoms = np.bincount(residue, minlength=n_residues)
    of_row = residue[model.site]
    n_rows = np.bincount(of_row, minlength=n_residues)
    places = np.zeros(n_residues, dtype=int)
    np.maximum.at(places, residue, np.bincount(model.site, minlength=model.n_sites))
    rmsd = np.zeros((given.n_members, n_residues))
    if kept is not given:
        square = ((kept.coord - given.coord) ** 2).sum(axis=-1)
        for number in range(given.n_members):
            rmsd[number] = np.sqrt(np.bincount(residue, square[number], n_residues) / n_atoms)
    mean, largest = given.weights @ rmsd, rmsd.max(axis=0)
    first = np.unique(residue, return_index=True)[1]
    atoms = given.atoms
    residues = tuple(
        EncodedResidue(
            f"{atoms.chain_id[at]}/{atoms.res_name[at]} {atoms.res_id[at]}"
            f"{str(atoms.ins_code[at]).strip()}",
            int(places[number]),
            int(n_atoms[number]),
            int(n_rows[number]),
            float(mean[number]),
            float(largest[number]),
            0.0,
        )
        for number, at in enumerate(first.tolist())
    )
    return EncodeReport(
        "lossless",
        0.0,
        given.n_members,
        given.n_atoms,
        model.n_rows,
        len(model.states),
        count_labels(model),
        residues,
        rmsd_mean=float(mean.mean()),
        rmsd_max=float(largest.max()),
    )
