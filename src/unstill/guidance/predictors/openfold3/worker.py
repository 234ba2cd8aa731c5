"""OpenFold3 (0.5.0), run by ``worker_main.py`` in its own Python.

The trunk runs once, on ``featurise``; ``denoise`` is its ``DiffusionModule``,
which takes and gives ångströms. Everything is in single precision.

Options: ``weights`` (the file that its authors publish), ``device`` (``cuda``
where there is one), ``settings`` (a JSON file of changes to its model
configuration, as its own ``model_update.custom``).
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PUBLISHED = "of3-ob-2025-06-30-174k.pt"


class MissingWeightsError(Exception):
    """The weights are not there, or not of this network."""

    kind = "missing_weights"


class BadInputError(Exception):
    """Molecules that the network cannot take."""

    kind = "bad_input"


class Worker:
    """The network, and what it has been told to predict."""

    name = "openfold3"

    def __init__(self, options: dict[str, Any]) -> None:
        import torch

        self.version = importlib.metadata.version("openfold3")
        self.device = options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = _model(options, self.device)
        self.sigma_data = float(self._model.config.architecture.shared.diffusion.sigma_data)
        self._batch: dict[str, Any] = {}
        self._trunk: tuple[Any, ...] = ()
        self._kept: tuple[Any, Any] | None = None

    def featurise(self, molecules: list[dict[str, Any]], seed: int) -> list[tuple[Any, ...]]:
        """Run the part of the network that needs no coordinates; list the atoms."""
        import torch
        from openfold3.core.utils.tensor_utils import tensor_tree_map

        self._batch, self._trunk, self._kept = {}, (), None
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - its own code draws from this generator
        torch.manual_seed(seed)
        with _folder() as folder:
            features = _features(molecules, seed, folder)
        atoms = features.pop("atom_array")
        batch = {key: value for key, value in features.items() if isinstance(value, torch.Tensor)}
        batch = tensor_tree_map(lambda t: t[None].to(self.device), batch)
        with torch.no_grad():
            cycles = self._model.shared.num_recycles + 1
            trunk = self._model.run_trunk(batch=batch, num_cycles=cycles, inplace_safe=True)
        # An axis for the members comes after the one for the molecule.
        self._trunk = tuple(t.unsqueeze(1) for t in trunk)
        self._batch = tensor_tree_map(lambda t: t.unsqueeze(1), batch)
        return [
            (str(a.chain_id), int(a.res_id), str(a.res_name), str(a.atom_name), str(a.element))
            for a in atoms
        ]

    def denoise(self, x: Any, sigma: float, keep: bool) -> Any:
        """Clean coordinates (Å) of members (members, atoms, 3) with noise ``sigma`` (Å)."""
        import torch

        noisy = torch.tensor(x, dtype=torch.float32, device=self.device)
        level = torch.tensor(sigma, dtype=torch.float32, device=self.device)
        single_input, single, pair = self._trunk
        self._kept = None
        with torch.set_grad_enabled(keep):
            noisy.requires_grad_(keep)
            clean = self._model.diffusion_module(
                batch=self._batch,
                xl_noisy=noisy[None],
                token_mask=self._batch["token_mask"],
                atom_mask=self._batch["atom_mask"],
                t=level,
                si_input=single_input,
                si_trunk=single,
                zij_trunk=pair,
                use_conditioning=True,
                use_high_precision_attention=True,
            )[0]
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


def _model(options: dict[str, Any], device: str) -> Any:
    import torch
    from openfold3.core.model.primitives import initialization
    from openfold3.projects.of3_all_atom.model import OpenFold3
    from openfold3.projects.of3_all_atom.project_entry import ModelUpdate, OF3ProjectEntry

    weights = _weights(options.get("weights"))
    changes = json.loads(Path(options["settings"]).read_text()) if options.get("settings") else {}
    update = ModelUpdate(presets=["predict"], custom=changes)
    config = OF3ProjectEntry().get_model_config_with_update(update)
    # Kernels that need another compiler, and a search for chunks that pays off for big trunks.
    config.settings.memory.eval.use_triton_triangle_kernels = False
    drawn = initialization.trunc_normal_init_
    initialization.trunc_normal_init_ = lambda *_, **__: None
    try:
        model = OpenFold3(config)
    finally:
        initialization.trunc_normal_init_ = drawn
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise MissingWeightsError(f"of another network: {str(error)[:300]}") from error
    if not torch.equal(model.version_tensor, OpenFold3(config).version_tensor):
        raise MissingWeightsError(f"of model version {model.version_tensor.tolist()}")
    return model.eval().requires_grad_(False).to(device)


def _weights(path: str | None) -> dict[str, Any]:
    import torch

    if not path or not Path(path).is_file():
        raise MissingWeightsError(f"{path or 'no file given'}; its authors publish {PUBLISHED}")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise MissingWeightsError(f"{path} is no file of weights: {error}") from error
    found: dict[str, Any] = loaded["ema"]["params"] if "ema" in loaded else loaded
    return found


def _features(molecules: list[dict[str, Any]], seed: int, folder: Path) -> dict[str, Any]:
    from openfold3.core.data.framework.single_datasets.inference import InferenceDataset
    from openfold3.core.data.pipelines.preprocessing.template import TemplatePreprocessorSettings
    from openfold3.core.data.tools.colabfold_msa_server import (
        MsaComputationSettings,
        augment_main_msa_with_query_sequence,
    )
    from openfold3.projects.of3_all_atom.config.dataset_configs import InferenceJobConfig
    from openfold3.projects.of3_all_atom.config.inference_query_format import (
        InferenceQuerySet,
        Query,
    )

    chains = [_chain(number, molecule, folder) for number, molecule in enumerate(molecules)]
    asked = InferenceQuerySet(seeds=[seed], queries={"model": Query(chains=chains)})
    asked = augment_main_msa_with_query_sequence(
        asked, MsaComputationSettings(msa_output_directory=folder / "msa", msa_file_format="a3m")
    )
    settings = TemplatePreprocessorSettings(output_directory=folder / "templates")
    job = InferenceJobConfig(
        query_set=asked, seeds=[seed], template_preprocessor_settings=settings
    )
    dataset = InferenceDataset(job)
    try:
        features: dict[str, Any] = dataset.create_all_features(asked.queries["model"])
    except KeyError as error:
        # biotite's dictionary of components does not know it.
        raise BadInputError(f"unknown component: {error}") from error
    return features


def _chain(number: int, molecule: dict[str, Any], folder: Path) -> Any:
    from openfold3.projects.of3_all_atom.config.inference_query_format import Chain

    kind, sequence = molecule["kind"], molecule["sequence"]
    names = {"chain_ids": molecule["chains"]}
    if kind == "ccd":
        return Chain(molecule_type="ligand", ccd_codes=[sequence], **names)
    if kind == "smiles":
        from rdkit import Chem

        if Chem.MolFromSmiles(sequence) is None:
            raise BadInputError(f"RDKit cannot read the SMILES {sequence!r}")
        return Chain(molecule_type="ligand", smiles=sequence, **names)
    msa = None
    if molecule["msa"]:
        # Files of other names are passed over.
        msa = folder / str(number) / "colabfold_main.a3m"
        msa.parent.mkdir()
        shutil.copyfile(molecule["msa"], msa)
    return Chain(
        molecule_type=kind,
        sequence=sequence,
        main_msa_file_paths=None if msa is None else [msa],
        **names,
    )


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="unstill-openfold3-") as folder:
        yield Path(folder)
