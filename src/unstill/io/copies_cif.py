"""Whole copies of a multiconformer model as models of one mmCIF file, for viewers."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from unstill.chemistry.residues import is_amino_acid, is_nucleotide
from unstill.ensembles import Multiconformer
from unstill.io.atomic import atomic_path


def write_copies(model: Multiconformer, in_state: np.ndarray, path: Path, title: str = "") -> None:
    """Write copies as models 1, 2, …, each with the atoms that it has and no altloc.

    Entities and sequences are made from the residues, so that viewers draw
    ribbons. Occupancies are those of the model. It is a file to look at, not
    one to refine or deposit: what copies do not have and what relates them is lost.

    Parameters
    ----------
    model
        The rows.
    in_state
        ``(n_copies, n_states)`` bool, as ``copies_that_show`` returns them.
    path
        Ends in ``.cif``.
    title
        Goes to ``_struct.title``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    structure = gemmi.Structure()
    structure.name = "".join(c if c.isalnum() else "_" for c in Path(path).stem) or "copies"
    if model.crystal is not None:
        structure.cell = gemmi.UnitCell(*model.crystal.unit_cell)
        structure.spacegroup_hm = str(model.crystal.space_group)
    if title:
        structure.info["_struct.title"] = title
    for number, held in enumerate(in_state):
        structure.add_model(_model(model, np.flatnonzero(held[model.state]), number + 1))
    structure.setup_entities()
    _number_sequences(structure)
    structure.assign_serial_numbers()
    groups = gemmi.MmcifOutputGroups(True)
    groups.cell = groups.symmetry = model.crystal is not None
    groups.chem_comp = False
    document = structure.make_mmcif_document(groups)
    _write_kinds(document.sole_block(), model)
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(document.as_string(), encoding="utf-8")


def _write_kinds(block: gemmi.cif.Block, model: Multiconformer) -> None:
    """Say what residues are: a viewer that is not told takes none for part of a chain."""
    names = sorted({str(name) for name in model.sites.res_name.tolist()})
    loop = block.init_mmcif_loop("_chem_comp.", ["id", "type"])
    for name in names:
        loop.add_row([gemmi.cif.quote(name), gemmi.cif.quote(_kind(name))])


def _kind(name: str) -> str:
    if is_amino_acid(name):
        return "PEPTIDE LINKING" if name == "GLY" else "L-PEPTIDE LINKING"
    if is_nucleotide(name):
        deoxy = gemmi.find_tabulated_residue(name).kind == gemmi.ResidueKind.DNA
        return "DNA LINKING" if deoxy else "RNA LINKING"
    return "NON-POLYMER"


def _number_sequences(structure: gemmi.Structure) -> None:
    """Give polymers the sequence of their residues in any copy; ribbons need it."""
    places: dict[str, dict[tuple[int, str], str]] = {}
    for model in structure:
        for chain in model:
            for residue in chain.get_polymer():
                at = (residue.seqid.num or 0, residue.seqid.icode)
                places.setdefault(residue.subchain, {}).setdefault(at, residue.name)
    numbers = {
        subchain: {at: number + 1 for number, at in enumerate(sorted(found))}
        for subchain, found in places.items()
    }
    for entity in structure.entities:
        if entity.subchains and entity.subchains[0] in places:
            found = places[entity.subchains[0]]
            entity.full_sequence = [found[at] for at in sorted(found)]
    for model in structure:
        for chain in model:
            for residue in chain.get_polymer():
                at = (residue.seqid.num or 0, residue.seqid.icode)
                residue.label_seq = numbers[residue.subchain][at]


def _model(model: Multiconformer, rows: np.ndarray, number: int) -> gemmi.Model:
    sites = model.sites
    # Sites are in the order of the file; rows of one residue may be far apart.
    rows = rows[np.argsort(model.site[rows], kind="stable")]
    order = np.argsort(model.residue[model.site[rows]], kind="stable")
    found = gemmi.Model(number)
    chains: dict[str, gemmi.Chain] = {}
    residue: gemmi.Residue | None = None
    last: tuple[str, int, str, str] | None = None
    for row in rows[order].tolist():
        site = int(model.site[row])
        chain = str(sites.chain_id[site])
        key = (
            chain,
            int(sites.res_id[site]),
            str(sites.ins_code[site]).strip(),
            str(sites.res_name[site]),
        )
        if key != last:
            if residue is not None and last is not None:
                chains[last[0]].add_residue(residue)
            chains.setdefault(chain, gemmi.Chain(chain))
            residue = gemmi.Residue()
            residue.name = key[3]
            residue.seqid = gemmi.SeqId(key[1], key[2] or " ")
            residue.het_flag = "H" if bool(sites.hetero[site]) else "A"
            last = key
        if residue is not None:
            residue.add_atom(_atom(model, row, site))
    if residue is not None and last is not None:
        chains[last[0]].add_residue(residue)
    for chain_of_rows in chains.values():
        found.add_chain(chain_of_rows)
    return found


def _atom(model: Multiconformer, row: int, site: int) -> gemmi.Atom:
    atom = gemmi.Atom()
    atom.name = str(model.sites.atom_name[site])
    atom.element = gemmi.Element(str(model.sites.element[site]))
    atom.pos = gemmi.Position(*np.round(model.coord[row], 3).tolist())
    atom.occ = round(float(model.occupancy[row]), 3)
    atom.b_iso = round(float(model.b_factor[row]), 2)
    return atom
