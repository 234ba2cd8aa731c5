"""Boltz-1 (boltz 2.2.1), run by ``worker_main.py`` in its own Python.

The trunk and what depends on no coordinates run once, on ``featurise``;
``denoise`` is the preconditioned network of its structure module, which takes
and gives ångströms. Everything is in single precision.

Options: ``weights`` and ``components`` (the checkpoint and the file ``ccd.pkl``
that its authors publish), ``device`` (``cuda`` where there is one),
``recycles``, ``settings`` (a JSON file of changes to the arguments of its
network).
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import importlib.metadata
import json
import pickle
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

PUBLISHED = "boltz1_conf.ckpt"
KEPT_CACHES = 2


class MissingWeightsError(Exception):
    """The weights are not there, or not of this network."""

    kind = "missing_weights"


class BadInputError(Exception):
    """Molecules that the network cannot take."""

    kind = "bad_input"


class Worker:
    """The network, and what it has been told to predict."""

    name = "boltz1"

    def __init__(self, options: dict[str, Any]) -> None:
        import torch

        self.version = importlib.metadata.version("boltz")
        self.device = options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        self._components = _components(options)
        self._recycles = int(options.get("recycles", 3))
        self._model = _model(options).to(self.device)
        self.sigma_data = float(self._model.structure_module.sigma_data)
        self._conditioning: dict[str, Any] = {}
        self._caches: dict[int, dict[str, Any]] = {}
        self._n_atoms = 0
        self._kept: tuple[Any, Any] | None = None

    def featurise(self, molecules: list[dict[str, Any]], seed: int) -> list[tuple[Any, ...]]:
        """Run the part of the network that needs no coordinates; list the atoms."""
        import torch

        self._conditioning, self._kept = {}, None
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - its own code draws from this generator
        torch.manual_seed(seed)
        target = _target(molecules, self._components)
        features = _features(target)
        features = {
            key: value.to(self.device) if isinstance(value, torch.Tensor) else value
            for key, value in features.items()
        }
        module = self._model.structure_module
        sample = module.sample
        # What its sampler is called with is all that the network is conditioned on.
        module.sample = lambda **given: self._conditioning.update(given) or {}
        try:
            with torch.no_grad():
                self._model(features, recycling_steps=self._recycles)
        finally:
            module.sample = sample
        names = ("s_trunk", "z_trunk", "s_inputs", "feats", "relative_position_encoding")
        self._conditioning = {name: self._conditioning[name] for name in names}
        rows = _rows(target, features)
        self._n_atoms = len(rows)
        self._caches = {}
        return rows

    def denoise(self, x: Any, sigma: float, keep: bool) -> Any:
        """Clean coordinates (Å) of members (members, atoms, 3) with noise ``sigma`` (Å)."""
        import torch

        noisy = torch.tensor(x, dtype=torch.float32, device=self.device)
        self._kept = None
        if len(noisy) not in self._caches:
            # What coordinates do not change is cached by the first call, for so many members.
            while len(self._caches) >= KEPT_CACHES:
                self._caches.pop(next(iter(self._caches)))
            self._caches[len(noisy)] = {}
            with torch.no_grad():
                self._forward(noisy, sigma)
        with torch.set_grad_enabled(keep):
            noisy.requires_grad_(keep)
            clean = self._forward(noisy, sigma)
        if keep:
            self._kept = (noisy, clean)
        return clean.detach().cpu().numpy()

    def _forward(self, noisy: Any, sigma: float) -> Any:
        import torch

        more = self._conditioning["feats"]["atom_pad_mask"].shape[1] - self._n_atoms
        given = {"multiplicity": len(noisy), "model_cache": self._caches[len(noisy)]}
        clean, _ = self._model.structure_module.preconditioned_network_forward(
            torch.nn.functional.pad(noisy, (0, 0, 0, more)),
            float(sigma),
            network_condition_kwargs=given | self._conditioning,
            training=False,
        )
        return clean[:, : self._n_atoms]

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


def _components(options: dict[str, Any]) -> dict[str, Any]:
    path = options.get("components")
    if not path or not Path(path).is_file():
        raise MissingWeightsError(
            f"no file of components ({path or 'none given'}); its authors publish ccd.pkl"
        )
    with Path(path).open("rb") as stream:
        found: dict[str, Any] = pickle.load(stream)
    return found


def _model(options: dict[str, Any]) -> Any:
    from boltz.main import BoltzDiffusionParams, BoltzSteeringParams, MSAModuleArgs, PairformerArgs
    from boltz.model.models.boltz1 import Boltz1

    path = options.get("weights")
    if not path or not Path(path).is_file():
        raise MissingWeightsError(f"{path or 'no file given'}; its authors publish {PUBLISHED}")
    changes = json.loads(Path(options["settings"]).read_text()) if options.get("settings") else {}
    arguments = {
        "diffusion_process_args": asdict(BoltzDiffusionParams()),
        "pairformer_args": asdict(PairformerArgs()),
        "msa_args": asdict(MSAModuleArgs(use_paired_feature=False)),
        "steering_args": asdict(BoltzSteeringParams()),
    }
    for name, given in changes.items():
        arguments[name] = {**arguments.get(name, {}), **given}
    try:
        model = Boltz1.load_from_checkpoint(
            path, strict=True, map_location="cpu", ema=False, use_kernels=False, **arguments
        )
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        raise MissingWeightsError(f"of another network: {str(error)[:300]}") from error
    except Exception as error:
        raise MissingWeightsError(f"{path} is no file of weights: {error}") from error
    # Only coordinates are wanted of it.
    model.confidence_prediction = False
    model.confidence_module = None
    return model.eval().requires_grad_(False)


def _target(molecules: list[dict[str, Any]], components: dict[str, Any]) -> Any:
    from boltz.data.parse.schema import parse_boltz_schema

    entries = [_entry(molecule, components) for molecule in molecules]
    try:
        return parse_boltz_schema(
            "model", {"version": 1, "sequences": entries}, components, boltz_2=False
        )
    except ValueError as error:
        raise BadInputError(str(error)) from error


def _entry(molecule: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    kind, sequence = molecule["kind"], molecule["sequence"]
    if kind == "ccd":
        if sequence not in components:
            raise BadInputError(f"unknown component: {sequence!r}")
        return {"ligand": {"id": molecule["chains"], "ccd": sequence}}
    if kind == "smiles":
        from rdkit import Chem

        if Chem.MolFromSmiles(sequence) is None:
            raise BadInputError(f"RDKit cannot read the SMILES {sequence!r}")
        return {"ligand": {"id": molecule["chains"], "smiles": sequence}}
    if molecule["msa"] and kind != "protein":
        raise BadInputError(f"alignments are for proteins, not for {kind}")
    entry = {"id": molecule["chains"], "sequence": sequence}
    if kind == "protein":
        entry["msa"] = molecule["msa"] or "empty"
    return {kind: entry}


def _features(target: Any) -> dict[str, Any]:
    from boltz.data import const
    from boltz.data.feature.featurizer import BoltzFeaturizer
    from boltz.data.module.inference import collate
    from boltz.data.parse.a3m import parse_a3m
    from boltz.data.tokenize.boltz import BoltzTokenizer
    from boltz.data.types import Input

    alignments = {
        chain.chain_id: parse_a3m(Path(chain.msa_id), taxonomy=None, max_seqs=const.max_msa_seqs)
        for chain in target.record.chains
        if chain.msa_id not in (-1, 0)
    }
    tokenized = BoltzTokenizer().tokenize(
        Input(target.structure, alignments, target.record, target.residue_constraints)
    )
    features: dict[str, Any] = BoltzFeaturizer().process(
        tokenized,
        training=False,
        max_atoms=None,
        max_tokens=None,
        max_seqs=const.max_msa_seqs,
        pad_to_max_seqs=False,
        symmetries={},
        compute_symmetries=False,
        compute_constraint_features=True,
    )
    features["record"] = target.record
    collated: dict[str, Any] = collate([features])
    return collated


def _rows(target: Any, features: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Chain, residue number, residue name, atom name and element of every atom."""
    from rdkit.Chem import GetPeriodicTable

    table, structure, rows = GetPeriodicTable(), target.structure, []
    for chain in structure.chains:
        first, count = int(chain["res_idx"]), int(chain["res_num"])
        for residue in structure.residues[first : first + count]:
            start, n_atoms = int(residue["atom_idx"]), int(residue["atom_num"])
            for atom in structure.atoms[start : start + n_atoms]:
                # Letters are stored less the 32 that no name begins below.
                name = "".join(chr(int(letter) + 32) for letter in atom["name"] if letter)
                element = table.GetElementSymbol(int(atom["element"]))
                number = int(residue["res_idx"]) + 1
                rows.append((str(chain["name"]), number, str(residue["name"]), name, element))
    n_features = int(features["atom_pad_mask"][0].sum())
    if len(rows) != n_features:
        raise RuntimeError(f"{len(rows)} atoms in the structure, {n_features} in the features")
    return rows
