"""RosettaFold-3 (rc-foundry 0.2.0), run by ``worker_main.py`` in its own Python.

The trunk runs once, on ``featurise``; ``denoise`` is its ``DiffusionModule``,
which takes and gives ångströms. Its attention rounds to half precision by
itself; here all is in single precision, so that gradients can be trusted. They
are those it is trained with: what it makes of the chirality of the noisy
coordinates is taken as given.

Options: ``weights`` (the checkpoint that its authors publish, which also holds
the shape of the network), ``device`` (``cuda`` where there is one),
``recycles`` (rounds through the trunk).
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import importlib.metadata
import random
from pathlib import Path
from typing import Any

import numpy as np

PUBLISHED = "rf3_foundry_01_24_latest_remapped.ckpt"
KINDS = {
    "protein": "polypeptide(l)",
    "rna": "polyribonucleotide",
    "dna": "polydeoxyribonucleotide",
}
SHADOW = "shadow."


class MissingWeightsError(Exception):
    """The weights are not there, or not of this network."""

    kind = "missing_weights"


class BadInputError(Exception):
    """Molecules that the network cannot take."""

    kind = "bad_input"


class Worker:
    """The network, and what it has been told to predict."""

    name = "rf3"

    def __init__(self, options: dict[str, Any]) -> None:
        import torch

        self.version = importlib.metadata.version("rc-foundry")
        self.device = options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        self._recycles = int(options.get("recycles", 10))
        _keep_activations()
        self._model, self._pipeline = _loaded(options.get("weights"), self._recycles)
        self._model.to(self.device)
        self.sigma_data = float(self._model.diffusion_module.sigma_data)
        self._given: dict[str, Any] = {}
        self._kept: tuple[Any, Any] | None = None

    def featurise(self, molecules: list[dict[str, Any]], seed: int) -> list[tuple[Any, ...]]:
        """Run the part of the network that needs no coordinates; list the atoms."""
        import torch
        from lightning.fabric.utilities import move_data_to_device

        self._given, self._kept = {}, None
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - its own code draws from this generator
        torch.manual_seed(seed)
        made = self._pipeline(_input(molecules))
        features = move_data_to_device(made["feats"], self.device)
        with torch.no_grad():
            for trunk in self._model.trunk_forward_with_recycling(features, self._recycles):
                last = trunk
        self._given = {
            "f": features,
            "S_inputs_I": last["S_inputs_I"],
            "S_trunk_I": last["S_I"],
            "Z_trunk_II": last["Z_II"],
        }
        return _rows(made["atom_array"])

    def denoise(self, x: Any, sigma: float, keep: bool) -> Any:
        """Clean coordinates (Å) of members (members, atoms, 3) with noise ``sigma`` (Å)."""
        import torch

        noisy = torch.tensor(x, dtype=torch.float32, device=self.device)
        level = torch.full((len(noisy),), sigma, dtype=torch.float32, device=self.device)
        self._kept = None
        with torch.set_grad_enabled(keep):
            noisy.requires_grad_(keep)
            clean = self._model.diffusion_module(X_noisy_L=noisy, t=level, **self._given)
        if keep:
            self._kept = (noisy, clean)
        return clean.detach().cpu().numpy()

    def pullback(self, gradient: Any) -> Any:
        """Transposed Jacobian of the last ``denoise`` times a gradient to its result."""
        import torch

        if self._kept is None:
            raise BadInputError("nothing was kept of the last denoising")
        (noisy, clean), self._kept = self._kept, None
        given = torch.tensor(gradient, dtype=torch.float32, device=self.device)
        (pulled,) = torch.autograd.grad(clean, noisy, given)
        return pulled.cpu().numpy()

    def device_memory(self) -> int:
        """Bytes in use on the device; 0 where it is the processor."""
        import torch

        return int(torch.cuda.memory_allocated()) if self.device.startswith("cuda") else 0


def _keep_activations() -> None:
    """Have gradients computed from what was kept, not from what is computed once more.

    It changes some of its arrays in place, so that the second time gives another result.
    """
    from foundry.training import checkpoint

    checkpoint.checkpoint = lambda function, *given, use_reentrant: function(*given)


def _loaded(path: str | None, recycles: int) -> tuple[Any, Any]:
    """Load the network of a checkpoint, and what makes its features."""
    if not path or not Path(path).is_file():
        raise MissingWeightsError(f"{path or 'no file given'}; its authors publish {PUBLISHED}")
    import hydra
    import torch
    from omegaconf import OmegaConf

    try:
        # Its configuration is in the checkpoint as an object: unpickled, as its own program does.
        loaded = torch.load(path, map_location="cpu", weights_only=False)
        config, weights = loaded["train_cfg"], loaded["model"]
    except Exception as error:
        raise MissingWeightsError(f"{path} is no file of weights: {error}") from error
    config = OmegaConf.create(config)
    OmegaConf.set_struct(config, False)
    model = hydra.utils.instantiate(config.model.net, _recursive_=False)
    # Beside the weights stand their averages over training, which predict better.
    averaged = {k.removeprefix(SHADOW): v for k, v in weights.items() if k.startswith(SHADOW)}
    wanted = averaged or {key.removeprefix("model."): value for key, value in weights.items()}
    try:
        model.load_state_dict(wanted, strict=True)
    except RuntimeError as error:
        raise MissingWeightsError(f"of another network: {str(error)[:300]}") from error
    for module in model.modules():
        if hasattr(module, "force_bfloat16"):
            module.force_bfloat16 = False
    validation = next(iter(config.datasets.val.values()))
    own = OmegaConf.merge(validation.dataset.transform, _of_inference(recycles))
    return model.eval().requires_grad_(False), hydra.utils.instantiate(own)


def _of_inference(recycles: int) -> dict[str, Any]:
    """Return what its own program changes of the features, as it predicts."""
    return {
        "diffusion_batch_size": 1,
        "n_recycles": recycles,
        "raise_if_missing_msa_for_protein_of_length_n": None,
        "undesired_res_names": [],
        "template_noise_scales": {"atomized": 1e-5, "not_atomized": 1e-5},
        "allowed_chain_types_for_conditioning": None,
        "protein_msa_dirs": [],
        "rna_msa_dirs": [],
        "residue_cache_dir": None,
        "p_give_polymer_ref_conf": 0.0,
        "p_give_non_polymer_ref_conf": 0.0,
        "p_dropout_ref_conf": 0.0,
        "run_confidence_head": False,
        "return_atom_array": True,
        "use_element_for_atom_names_of_atomized_tokens": True,
    }


def _input(molecules: list[dict[str, Any]]) -> dict[str, Any]:
    """Do what ``InferenceInput.from_json_dict`` does, but leave no ligand out."""
    import biotite.structure.info
    from atomworks.io.parser import parse_atom_array
    from atomworks.io.tools.inference import (
        build_msa_paths_by_chain_id_from_component_list,
        components_to_atom_array,
    )
    from rf3.utils.inference import InferenceInput

    known = biotite.structure.info.all_residues()
    for molecule in molecules:
        if molecule["kind"] == "ccd" and molecule["sequence"] not in known:
            raise BadInputError(f"unknown component: {molecule['sequence']}")
    components = [one for molecule in molecules for one in _components(molecule)]
    atoms, listed = components_to_atom_array(components, return_components=True)
    # Its own way drops what crystals are grown in: glycerol, sulphate and others.
    parsed = parse_atom_array(
        atoms, build_assembly="_spoof", hydrogen_policy="keep", remove_ccds=[]
    )
    chains = parsed["chain_info"]
    for chain, path in build_msa_paths_by_chain_id_from_component_list(listed).items():
        chains[chain]["msa_path"] = path
    made = InferenceInput(parsed["assemblies"]["1"][0], chains, "model")
    pipeline: dict[str, Any] = made.to_pipeline_input()
    return pipeline


def _components(molecule: dict[str, Any]) -> list[dict[str, Any]]:
    kind, sequence = molecule["kind"], molecule["sequence"]
    own: dict[str, Any]
    if kind == "ccd":
        own = {"ccd_code": sequence}
    elif kind == "smiles":
        from rdkit import Chem

        if Chem.MolFromSmiles(sequence) is None:
            raise BadInputError(f"RDKit cannot read the SMILES {sequence!r}")
        own = {"smiles": sequence}
    else:
        if molecule["msa"] and kind == "dna":
            raise BadInputError("alignments are for proteins and RNA, not for dna")
        own = {"seq": sequence, "chain_type": KINDS[kind], "is_polymer": True}
        if molecule["msa"]:
            own["msa_path"] = molecule["msa"]
    return [{**own, "chain_id": chain} for chain in molecule["chains"]]


def _rows(atoms: Any) -> list[tuple[Any, ...]]:
    from rdkit.Chem import GetPeriodicTable

    table = GetPeriodicTable()

    def symbol(element: str) -> str:
        return table.GetElementSymbol(int(element)) if element.isdigit() else element

    return [
        (
            str(atom.chain_id),
            int(atom.res_id),
            str(atom.res_name),
            str(atom.atom_name),
            symbol(str(atom.element)),
        )
        for atom in atoms
    ]
