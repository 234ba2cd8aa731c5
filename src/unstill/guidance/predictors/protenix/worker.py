"""Protenix (2.0.0), run by ``worker_main.py`` in its own Python.

The trunk and what the denoiser derives of it alone run once, on ``featurise``;
``denoise`` is its ``DiffusionModule``, which takes and gives ångströms, in
single precision.

Options: ``weights`` (the checkpoint that its authors publish), ``components``
and ``conformers`` (their files ``components.cif`` and
``components.cif.rdkit_mol.pkl``), ``model`` (its name for the network; that of
the file of weights by default), ``device`` (``cuda`` where there is one),
``cycles`` (rounds through the trunk), ``settings`` (a JSON file of changes to
its configuration).
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

PUBLISHED = "protenix_base_default_v1.0.0.pt"
KINDS = {"protein": "proteinChain", "rna": "rnaSequence", "dna": "dnaSequence"}
OF_ATOMS = (
    "ref_pos",
    "ref_charge",
    "ref_mask",
    "ref_element",
    "ref_atom_name_chars",
    "atom_to_token_idx",
    "d_lm",
    "v_lm",
    "pad_info",
)
# Kernels of its own need a compiler for the device, which few have.
PLAIN = {
    "LAYERNORM_TYPE": "torch",
    "TRIANGLE_ATTENTION": "torch",
    "TRIANGLE_MULTIPLICATIVE": "torch",
}


class MissingWeightsError(Exception):
    """The weights are not there, or not of this network."""

    kind = "missing_weights"


class BadInputError(Exception):
    """Molecules that the network cannot take."""

    kind = "bad_input"


class Worker:
    """The network, and what it has been told to predict."""

    name = "protenix"

    def __init__(self, options: dict[str, Any]) -> None:
        os.environ.update(PLAIN)
        import torch

        self.version = importlib.metadata.version("protenix")
        self.device = options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        _dictionary(options)
        self._configs = _configs(options)
        self._model = _model(self._configs, options).to(self.device)
        self.sigma_data = float(self._model.diffusion_module.sigma_data)
        self._given: dict[str, Any] = {}
        self._kept: tuple[Any, Any] | None = None

    def featurise(self, molecules: list[dict[str, Any]], seed: int) -> list[tuple[Any, ...]]:
        """Run the part of the network that needs no coordinates; list the atoms."""
        import torch
        from protenix.model.protenix import update_input_feature_dict
        from protenix.utils.torch_utils import to_device

        self._given, self._kept = {}, None
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - its own code draws from this generator
        torch.manual_seed(seed)
        features, atoms = _features(molecules, self._configs)
        features = to_device(features, self.device)
        model = self._model
        half = torch.autocast("cuda", torch.bfloat16, enabled=self.device.startswith("cuda"))
        with torch.no_grad():
            features = model.relative_position_encoding.generate_relp(features)
            features = update_input_feature_dict(features)
            with half:
                inputs, single, pair = model.get_pairformer_output(features, model.N_cycle)
            inputs, single, pair = inputs.float(), single.float(), pair.float()
            conditioning = model.diffusion_module.diffusion_conditioning
            pair = conditioning.prepare_cache(features["relp"], pair, False)
            local, atom = model.diffusion_module.atom_attention_encoder.prepare_cache(
                **{name: features[name] for name in OF_ATOMS}, r_l=True, z=pair, inplace_safe=False
            )
        self._given = {
            "input_feature_dict": features,
            "s_inputs": inputs,
            "s_trunk": single,
            "z_trunk": None,
            "pair_z": pair,
            "p_lm": local,
            "c_l": atom,
        }
        return [
            (str(a.chain_id), int(a.res_id), str(a.res_name), str(a.atom_name), str(a.element))
            for a in atoms
        ]

    def denoise(self, x: Any, sigma: float, keep: bool) -> Any:
        """Clean coordinates (Å) of members (members, atoms, 3) with noise ``sigma`` (Å)."""
        import torch

        noisy = torch.tensor(x, dtype=torch.float32, device=self.device)
        level = torch.full((len(noisy),), sigma, dtype=torch.float32, device=self.device)
        self._kept = None
        with torch.set_grad_enabled(keep):
            noisy.requires_grad_(keep)
            clean = self._model.diffusion_module(
                x_noisy=noisy, t_hat_noise_level=level, **self._given
            )
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


def _dictionary(options: dict[str, Any]) -> None:
    """Have it read its dictionary of components where it is, not in a home folder."""
    for option in ("components", "conformers"):
        path = options.get(option)
        if not path or not Path(path).is_file():
            raise MissingWeightsError(
                f"no file of {option} ({path or 'none given'}); its authors publish "
                "components.cif and components.cif.rdkit_mol.pkl"
            )
    from protenix.data.core import ccd

    ccd.COMPONENTS_FILE = options["components"]
    ccd.RKDIT_MOL_PKL = Path(options["conformers"])


def _configs(options: dict[str, Any]) -> Any:
    from configs.configs_base import configs as base
    from configs.configs_data import data_configs
    from configs.configs_inference import inference_configs
    from configs.configs_model_type import model_configs
    from protenix.config.config import parse_configs

    path = options.get("weights")
    if not path or not Path(path).is_file():
        raise MissingWeightsError(f"{path or 'no file given'}; its authors publish {PUBLISHED}")
    name = options.get("model") or Path(path).stem
    if name not in model_configs:
        raise BadInputError(
            f"no network is called {name!r}; give the option model, one of "
            + ", ".join(model_configs)
        )
    changes = json.loads(Path(options["settings"]).read_text()) if options.get("settings") else {}
    plain = {
        "triangle_attention": "torch",
        "triangle_multiplicative": "torch",
        "enable_efficient_fusion": False,
        "use_template": False,
        "model_name": name,
    }
    made = deepcopy({**base, "data": data_configs, **inference_configs})
    for change in (model_configs[name], plain, changes):
        _update(made, change)
    configs = parse_configs(made, fill_required_with_null=True)
    if options.get("cycles"):
        configs.model.N_cycle = int(options["cycles"])
    return configs


def _update(old: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            _update(old[key], value)
        else:
            old[key] = value


def _model(configs: Any, options: dict[str, Any]) -> Any:
    import torch
    from protenix.model.protenix import Protenix

    path = options["weights"]
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)["model"]
    except Exception as error:
        raise MissingWeightsError(f"{path} is no file of weights: {error}") from error
    model = Protenix(configs)
    try:
        # Trained in parallel, all names begin with the same word.
        model.load_state_dict({key.removeprefix("module."): v for key, v in loaded.items()})
    except RuntimeError as error:
        raise MissingWeightsError(f"of another network: {str(error)[:300]}") from error
    return model.eval().requires_grad_(False)


def _features(molecules: list[dict[str, Any]], configs: Any) -> tuple[dict[str, Any], Any]:
    from protenix.data.core.ccd import get_component_atom_array
    from protenix.data.inference.infer_dataloader import InferenceDataset

    for molecule in molecules:
        name = molecule["sequence"]
        if molecule["kind"] == "ccd" and get_component_atom_array(name) is None:
            raise BadInputError(f"unknown component: {name}")
    job = {"name": "model", "sequences": [_entry(molecule) for molecule in molecules]}
    with tempfile.TemporaryDirectory(prefix="unstill-protenix-") as folder:
        # It reads jobs from a file, and one by one from what it read.
        path = Path(folder) / "model.json"
        path.write_text(json.dumps([job]))
        configs.input_json_path, configs.dump_dir = str(path), folder
        data, atoms, _ = InferenceDataset(configs).process_one(job)
    return data["input_feature_dict"], atoms


def _entry(molecule: dict[str, Any]) -> dict[str, Any]:
    kind, sequence = molecule["kind"], molecule["sequence"]
    own = {"count": len(molecule["chains"]), "id": molecule["chains"]}
    if kind == "ccd":
        return {"ligand": {"ligand": f"CCD_{sequence}", **own}}
    if kind == "smiles":
        from rdkit import Chem

        if Chem.MolFromSmiles(sequence) is None:
            raise BadInputError(f"RDKit cannot read the SMILES {sequence!r}")
        return {"ligand": {"ligand": sequence, **own}}
    if molecule["msa"] and kind == "dna":
        raise BadInputError("alignments are for proteins and RNA, not for dna")
    entry = {"sequence": sequence, **own}
    if molecule["msa"]:
        entry["unpairedMsaPath"] = molecule["msa"]
    return {KINDS[kind]: entry}
