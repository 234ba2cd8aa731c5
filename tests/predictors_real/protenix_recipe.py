"""Write small Protenix networks with random weights; run by Protenix's own Python.

Beside the folder to write to it takes a JSON file of components, of which it makes the dictionary
and the conformers that Protenix reads, in its way.
"""

import json
import os
import pickle
import sys
from copy import deepcopy
from pathlib import Path

os.environ |= {
    "LAYERNORM_TYPE": "torch",
    "TRIANGLE_ATTENTION": "torch",
    "TRIANGLE_MULTIPLICATIVE": "torch",
}

import biotite.structure.io.pdbx as pdbx
import numpy as np
import torch
from configs.configs_base import configs as base
from configs.configs_data import data_configs
from configs.configs_inference import inference_configs
from configs.configs_model_type import model_configs
from protenix.config.config import parse_configs
from protenix.model.protenix import Protenix
from rdkit import Chem
from rdkit.Geometry import Point3D

NAME = "protenix_base_default_v1.0.0"
TINY = {
    "c_s": 64,
    "c_z": 32,
    "model": {
        "N_cycle": 1,
        "pairformer": {"n_blocks": 1},
        "msa_module": {"n_blocks": 1},
        "template_embedder": {"n_blocks": 0},
        "confidence_head": {"n_blocks": 1},
        "diffusion_module": {
            "c_token": 64,
            "atom_encoder": {"n_blocks": 1},
            "transformer": {"n_blocks": 1},
            "atom_decoder": {"n_blocks": 1},
        },
    },
}
ORDERS = {1: "SING", 2: "DOUB", 3: "TRIP", 4: "QUAD"}


def dictionary(components):
    file = pdbx.CIFFile()
    for name, component in components.items():
        atoms, coord = component["atoms"], np.array(component["coord"])
        names = [atom[0] for atom in atoms]
        ideal = {f"pdbx_model_Cartn_{axis}_ideal": coord[:, n] for n, axis in enumerate("xyz")}
        modelled = {f"model_Cartn_{axis}": coord[:, n] for n, axis in enumerate("xyz")}
        bonds = [(names[i], names[j], ORDERS[order]) for i, j, order in component["bonds"]]
        block = pdbx.CIFBlock()
        block["chem_comp"] = pdbx.CIFCategory(
            {"id": name, "type": component["type"], "one_letter_code": component["letter"]}
        )
        block["chem_comp_atom"] = pdbx.CIFCategory(
            {
                "comp_id": [name] * len(atoms),
                "atom_id": names,
                "alt_atom_id": names,
                "pdbx_component_atom_id": names,
                "type_symbol": [atom[1].upper() for atom in atoms],
                "charge": [atom[2] for atom in atoms],
                "pdbx_leaving_atom_flag": ["Y" if atom[3] else "N" for atom in atoms],
                **modelled,
                **ideal,
            }
        )
        if bonds:
            first, second, order = zip(*bonds, strict=True)
            block["chem_comp_bond"] = pdbx.CIFCategory(
                {
                    "comp_id": [name] * len(bonds),
                    "atom_id_1": first,
                    "atom_id_2": second,
                    "value_order": order,
                    "pdbx_aromatic_flag": ["N"] * len(bonds),
                }
            )
        file[name] = block
    return file


def conformer(component):
    made = Chem.RWMol()
    for _, element, charge, _ in component["atoms"]:
        atom = Chem.Atom(element)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        made.AddAtom(atom)
    for first, second, order in component["bonds"]:
        made.AddBond(first, second, Chem.BondType.values[order])
    place = Chem.Conformer(made.GetNumAtoms())
    for number, xyz in enumerate(component["coord"]):
        place.SetAtomPosition(number, Point3D(*xyz))
    mol = made.GetMol()
    mol.AddConformer(place, assignId=True)
    # As its own file of conformers has them.
    mol.atom_map = {atom[0]: number for number, atom in enumerate(component["atoms"])}
    mol.name = component["name"]
    mol.sanitized = True
    mol.ref_conf_id = 0
    mol.ref_conf_type = "idea"
    mol.ref_mask = np.ones(mol.GetNumAtoms(), bool)
    return mol


def update(old, new):
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            update(old[key], value)
        else:
            old[key] = value


folder = Path(sys.argv[1])
components = json.loads(Path(sys.argv[2]).read_text())
dictionary(components).write(folder / "components.cif")
# Attributes of molecules are kept by pickle, properties are not asked for.
conformers = {name: conformer({**one, "name": name}) for name, one in components.items()}
(folder / "conformers.pkl").write_bytes(pickle.dumps(conformers))
(folder / "settings.json").write_text(json.dumps(TINY))
configs = deepcopy({**base, "data": data_configs, **inference_configs})
for change in (model_configs[NAME], TINY):
    update(configs, change)
configs = parse_configs(configs, fill_required_with_null=True)
torch.manual_seed(0)
model = Protenix(configs)
last = model.diffusion_module.atom_attention_decoder.linear_no_bias_out
with torch.no_grad():
    last.weight.zero_()
torch.save({"model": model.state_dict()}, folder / "silent.pt")
generator = torch.Generator().manual_seed(1)
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.ndim > 1:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.5 * drawn / parameter.shape[-1] ** 0.5)
# As they are saved where it was trained in parallel.
state = {f"module.{key}": value for key, value in model.state_dict().items()}
torch.save({"model": state}, folder / "random.pt")
