"""A predictor that knows one answer: its weights are the places of all atoms, in their own frame.

Options: none. A file named as weights holds ``{"coord": [[x, y, z], ...], "ends_at": sigma}``; the
process ends without a word when it is asked below the noise ``ends_at``, once: a file beside the
weights remembers that it did.
"""

import json
import sys
from pathlib import Path

import numpy as np

BACKBONE = ["N", "CA", "C", "O"]
RESIDUES = {
    "G": ("GLY", BACKBONE),
    "A": ("ALA", [*BACKBONE, "CB"]),
    "L": ("LEU", [*BACKBONE, "CB", "CG", "CD1", "CD2"]),
    "M": ("MET", [*BACKBONE, "CB", "CG", "SD", "CE"]),
}
GLYCEROL = ["C1", "O1", "C2", "O2", "C3", "O3"]
WIDTH = 0.5


class Worker:
    name = "remembering"
    version = "1.0"
    sigma_data = 16.0

    def __init__(self, options):
        self.device = options.get("device", "cpu")
        self._path = options.get("weights", "")
        self._known = json.loads(Path(self._path).read_text())

    def featurise(self, molecules, seed):
        rows = []
        for molecule in molecules:
            for chain in molecule["chains"]:
                if molecule["kind"] == "ccd":
                    rows += [(chain, 7, "GOL", name, name[0]) for name in GLYCEROL]
                    continue
                for number, letter in enumerate(molecule["sequence"], start=1):
                    name, atoms = RESIDUES[letter]
                    rows += [(chain, number, name, atom, atom[0]) for atom in atoms]
        self._mean = np.array(self._known["coord"])[: len(rows)]
        return rows

    def denoise(self, x, sigma, keep):
        done = Path(self._path + ".done")
        if sigma < self._known.get("ends_at", 0.0) and not done.exists():
            done.touch()
            sys.exit(9)
        gain = WIDTH**2 / (WIDTH**2 + sigma**2)
        centre = x.mean(axis=1, keepdims=True)
        mean = self._mean - self._mean.mean(axis=0)
        u, _, vt = np.linalg.svd(np.einsum("ai,maj->mij", mean, x - centre))
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        placed = mean @ (u @ vt) + centre
        return placed + gain * (x - placed)

    def pullback(self, gradient):
        return gradient

    def device_memory(self):
        return 0
