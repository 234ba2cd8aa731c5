"""Boltz-2 (boltz 2.2.1), run by ``worker_main.py`` in its own Python.

The trunk and the conditioning run once, on ``featurise``; ``denoise`` is the
preconditioned network of its structure module, which takes and gives
ångströms, in single precision.

Options: ``weights`` and ``molecules`` (the checkpoint and the unpacked folder
``mols`` that its authors publish), ``device`` (``cuda`` where there is one),
``method`` (what experiment to imitate, as ``x-ray diffraction``), ``recycles``,
``settings`` (a JSON file of changes to the arguments of its network).
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import importlib.metadata
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

PUBLISHED = "boltz2_conf.ckpt"
LISTS = ("record", "affinity_mw")


class MissingWeightsError(Exception):
    """The weights are not there, or not of this network."""

    kind = "missing_weights"


class BadInputError(Exception):
    """Molecules that the network cannot take."""

    kind = "bad_input"


class Worker:
    """The network, and what it has been told to predict."""

    name = "boltz2"

    def __init__(self, options: dict[str, Any]) -> None:
        import torch

        self.version = importlib.metadata.version("boltz")
        self.device = options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        self._molecules = _molecules(options)
        self._method = _method(options.get("method"))
        self._recycles = int(options.get("recycles", 3))
        self._model = _model(options).to(self.device)
        self.sigma_data = float(self._model.structure_module.sigma_data)
        self._conditioning: dict[str, Any] = {}
        self._n_atoms = 0
        self._kept: tuple[Any, Any] | None = None

    def featurise(self, molecules: list[dict[str, Any]], seed: int) -> list[tuple[Any, ...]]:
        """Run the part of the network that needs no coordinates; list the atoms."""
        import torch

        self._conditioning, self._kept = {}, None
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - its own code draws from this generator
        torch.manual_seed(seed)
        target = _target(molecules, self._molecules)
        features = _features(target, self._molecules, self._method, seed)
        features = {
            key: value if key in LISTS else value.to(self.device)
            for key, value in features.items()
        }
        half = torch.autocast("cuda", torch.bfloat16, enabled=self.device.startswith("cuda"))
        module = self._model.structure_module
        sample = module.sample
        # What its sampler is called with is all that the network is conditioned on.
        module.sample = lambda **given: self._conditioning.update(given) or {}
        try:
            with torch.no_grad(), half:
                self._model(features, recycling_steps=self._recycles)
        finally:
            module.sample = sample
        names = ("s_trunk", "s_inputs", "feats", "diffusion_conditioning")
        self._conditioning = {name: self._conditioning[name] for name in names}
        rows = _rows(target, features)
        self._n_atoms = len(rows)
        return rows

    def denoise(self, x: Any, sigma: float, keep: bool) -> Any:
        """Clean coordinates (Å) of members (members, atoms, 3) with noise ``sigma`` (Å)."""
        import torch

        noisy = torch.tensor(x, dtype=torch.float32, device=self.device)
        self._kept = None
        with torch.set_grad_enabled(keep):
            noisy.requires_grad_(keep)
            more = self._conditioning["feats"]["atom_pad_mask"].shape[1] - self._n_atoms
            clean = self._model.structure_module.preconditioned_network_forward(
                torch.nn.functional.pad(noisy, (0, 0, 0, more)),
                float(sigma),
                network_condition_kwargs={"multiplicity": len(noisy), **self._conditioning},
            )[:, : self._n_atoms]
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


def _molecules(options: dict[str, Any]) -> Path:
    folder = options.get("molecules")
    if not folder or not Path(folder).is_dir():
        raise MissingWeightsError(
            f"no folder of molecules ({folder or 'none given'}); its authors publish mols.tar"
        )
    return Path(folder)


def _method(name: str | None) -> str | None:
    from boltz.data import const

    if name is not None and name.lower() not in const.method_types_ids:
        known = ", ".join(const.method_types_ids)
        raise BadInputError(f"unknown method {name!r}; known are {known}")
    return name


def _model(options: dict[str, Any]) -> Any:
    from boltz.main import (
        Boltz2DiffusionParams,
        BoltzSteeringParams,
        MSAModuleArgs,
        PairformerArgsV2,
    )
    from boltz.model.models.boltz2 import Boltz2

    path = options.get("weights")
    if not path or not Path(path).is_file():
        raise MissingWeightsError(f"{path or 'no file given'}; its authors publish {PUBLISHED}")
    changes = json.loads(Path(options["settings"]).read_text()) if options.get("settings") else {}
    arguments = {
        "diffusion_process_args": asdict(Boltz2DiffusionParams()),
        "pairformer_args": asdict(PairformerArgsV2()),
        "msa_args": asdict(MSAModuleArgs()),
        "steering_args": asdict(BoltzSteeringParams()),
    }
    for name, given in changes.items():
        arguments[name] = {**arguments.get(name, {}), **given}
    try:
        model = Boltz2.load_from_checkpoint(
            path, strict=True, map_location="cpu", ema=False, use_kernels=False, **arguments
        )
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        raise MissingWeightsError(f"of another network: {str(error)[:300]}") from error
    except Exception as error:
        raise MissingWeightsError(f"{path} is no file of weights: {error}") from error
    # Only coordinates are wanted of it.
    model.confidence_prediction = model.affinity_prediction = False
    model.confidence_module = None
    return model.eval().requires_grad_(False)


def _target(molecules: list[dict[str, Any]], folder: Path) -> Any:
    from boltz.data.mol import load_canonicals
    from boltz.data.parse.schema import parse_boltz_schema

    entries = [_entry(molecule) for molecule in molecules]
    try:
        return parse_boltz_schema(
            "model",
            {"version": 1, "sequences": entries},
            load_canonicals(folder),
            folder,
            boltz_2=True,
        )
    except ValueError as error:
        if "CCD component" in str(error):
            raise BadInputError(f"unknown component: {error}") from error
        raise BadInputError(str(error)) from error


def _entry(molecule: dict[str, Any]) -> dict[str, Any]:
    kind, sequence = molecule["kind"], molecule["sequence"]
    if kind == "ccd":
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


def _features(target: Any, folder: Path, method: str | None, seed: int) -> dict[str, Any]:
    from boltz.data import const
    from boltz.data.feature.featurizerv2 import Boltz2Featurizer
    from boltz.data.module.inferencev2 import collate
    from boltz.data.mol import load_canonicals, load_molecules
    from boltz.data.parse.a3m import parse_a3m
    from boltz.data.tokenize.boltz2 import Boltz2Tokenizer
    from boltz.data.types import Input

    alignments = {
        chain.chain_id: parse_a3m(Path(chain.msa_id), taxonomy=None, max_seqs=const.max_msa_seqs)
        for chain in target.record.chains
        if chain.msa_id not in (-1, 0)
    }
    tokenized = Boltz2Tokenizer().tokenize(
        Input(
            target.structure,
            alignments,
            record=target.record,
            residue_constraints=target.residue_constraints,
            extra_mols=target.extra_mols,
        )
    )
    known = {**load_canonicals(folder), **target.extra_mols}
    known |= load_molecules(
        folder, sorted(set(tokenized.tokens["res_name"].tolist()) - set(known))
    )
    features: dict[str, Any] = Boltz2Featurizer().process(
        tokenized,
        molecules=known,
        random=np.random.default_rng(seed),
        training=False,
        max_atoms=None,
        max_tokens=None,
        max_seqs=const.max_msa_seqs,
        pad_to_max_seqs=False,
        single_sequence_prop=0.0,
        compute_frames=True,
        inference_pocket_constraints=None,
        inference_contact_constraints=None,
        compute_constraint_features=True,
        override_method=method,
    )
    features["record"] = target.record
    collated: dict[str, Any] = collate([features])
    return collated


def _rows(target: Any, features: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Chain, residue number, residue name, atom name and element, as the features have them."""
    from rdkit.Chem import GetPeriodicTable

    table = GetPeriodicTable()
    there = features["atom_pad_mask"][0].cpu().numpy().astype(bool)
    numbers = features["ref_element"][0].argmax(dim=-1).cpu().numpy()[there]
    structure, rows = target.structure, []
    for chain in structure.chains:
        first, count = int(chain["res_idx"]), int(chain["res_num"])
        for residue in structure.residues[first : first + count]:
            start, n_atoms = int(residue["atom_idx"]), int(residue["atom_num"])
            for atom in structure.atoms[start : start + n_atoms]:
                name = (str(residue["name"]), str(atom["name"]))
                rows.append((str(chain["name"]), int(residue["res_idx"]) + 1, *name))
    if len(rows) != len(numbers):
        raise RuntimeError(f"{len(rows)} atoms in the structure, {len(numbers)} in the features")
    return [
        (*row, table.GetElementSymbol(int(number)))
        for row, number in zip(rows, numbers, strict=True)
    ]
