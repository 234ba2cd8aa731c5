"""Write small Boltz-1 networks with random weights; run by Boltz's own Python.

Beside the folder to write to it takes a JSON file of components, of which it makes the molecules
that Boltz reads, in its way.
"""

import json
import pickle
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from boltz.main import (
    BoltzDiffusionParams,
    BoltzSteeringParams,
    MSAModuleArgs,
    PairformerArgs,
)
from boltz.model.models.boltz1 import Boltz1
from omegaconf import OmegaConf
from rdkit import Chem
from rdkit.Geometry import Point3D

PAIRFORMER = {"num_blocks": 1, "num_heads": 2}
MSA = {"msa_s": 16, "msa_blocks": 1, "pairwise_head_width": 8, "pairwise_num_heads": 2}
SCORE = {
    "atom_encoder_depth": 1,
    "atom_encoder_heads": 2,
    "token_transformer_depth": 1,
    "token_transformer_heads": 2,
    "atom_decoder_depth": 1,
    "atom_decoder_heads": 2,
    "conditioning_transition_layers": 1,
}
EMBEDDER = {"atom_encoder_depth": 1, "atom_encoder_heads": 2}
TRAINING = {
    "max_lr": 1e-3,
    "weight_decay": 0.0,
    "recycling_steps": 0,
    "diffusion_multiplicity": 1,
}


def molecule(component):
    made = Chem.RWMol()
    for name, element, charge, leaving in component["atoms"]:
        atom = Chem.Atom(element)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        atom.SetProp("name", name)
        atom.SetProp("leaving_atom", str(int(leaving)))
        made.AddAtom(atom)
    for first, second, order in component["bonds"]:
        made.AddBond(first, second, Chem.BondType.values[order])
    conformer = Chem.Conformer(made.GetNumAtoms())
    for number, place in enumerate(component["coord"]):
        conformer.SetAtomPosition(number, Point3D(*place))
    conformer.SetProp("name", "Ideal")
    made.AddConformer(conformer, assignId=True)
    made.SetProp("symmetries", pickle.dumps([]).hex())
    Chem.SanitizeMol(made)
    Chem.AssignStereochemistryFrom3D(made)
    return made.GetMol()


def network():
    return Boltz1(
        atom_s=16,
        atom_z=8,
        token_s=32,
        token_z=16,
        num_bins=64,
        atom_feature_dim=389,
        training_args=OmegaConf.create(TRAINING),
        validation_args=OmegaConf.create({}),
        embedder_args=EMBEDDER,
        msa_args=asdict(MSAModuleArgs(use_paired_feature=False)) | MSA,
        pairformer_args=asdict(PairformerArgs()) | PAIRFORMER,
        score_model_args=SCORE | {"sigma_data": 16, "dim_fourier": 16},
        diffusion_process_args=asdict(BoltzDiffusionParams()),
        diffusion_loss_args={},
        confidence_model_args={},
        confidence_prediction=False,
        steering_args=asdict(BoltzSteeringParams()),
    )


def save(model, path):
    torch.save(
        {
            "state_dict": model.state_dict(),
            "hyper_parameters": dict(model.hparams),
            "pytorch-lightning_version": "2.5.0",
            "epoch": 0,
            "global_step": 0,
        },
        path,
    )


folder = Path(sys.argv[1])
Chem.SetDefaultPickleProperties(Chem.PropertyPickleOptions.AllProps)
components = json.loads(Path(sys.argv[2]).read_text())
molecules = {name: molecule(component) for name, component in components.items()}
(folder / "ccd.pkl").write_bytes(pickle.dumps(molecules))
settings = {"pairformer_args": PAIRFORMER, "msa_args": MSA}
(folder / "settings.json").write_text(json.dumps(settings))
torch.manual_seed(0)
model = network()
last = model.structure_module.score_model.atom_attention_decoder.atom_feat_to_atom_pos_update
with torch.no_grad():
    last[-1].weight.zero_()
save(model, folder / "silent.ckpt")
generator = torch.Generator().manual_seed(1)
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.ndim > 1:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.7 * drawn / parameter.shape[-1] ** 0.5)
save(model, folder / "random.ckpt")
