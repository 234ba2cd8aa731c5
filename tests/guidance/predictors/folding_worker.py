"""A predictor of a handful of residues, in closed form, in a frame of its own.

D(x) = m + s^2 / (s^2 + sigma^2) (x - m), with m a fixed place for every atom, s = 0.5 A; with the
option "turns" m is first turned to where x is, as a network does that knows no direction. Like its
real kin it numbers residues from 1 and ends chains with OXT.
"""

import sys

import numpy as np

BACKBONE = ["N", "CA", "C", "O"]
RESIDUES = {
    "G": ("GLY", BACKBONE),
    "A": ("ALA", [*BACKBONE, "CB"]),
    "S": ("SER", [*BACKBONE, "CB", "OG"]),
    "M": ("MET", [*BACKBONE, "CB", "CG", "SD", "CE"]),
    "X": ("UNK", BACKBONE),
}
NUCLEOTIDES = {"A": "DA", "G": "DG"}
LIGANDS = {"GOL": ["C1", "O1", "C2", "O2", "C3", "O3"], "ZN": ["ZN"]}
WIDTH = 0.5


class Worker:
    name = "folding"
    version = "1.0"
    sigma_data = 16.0

    def __init__(self, options):
        self.device = options.get("device", "cpu")
        self._turns = "turns" in options
        self._drops = options.get("drops", "")
        if options.get("weights") == "/broken":
            sys.exit(5)
        self._kept = None

    def featurise(self, molecules, seed):
        rows = []
        for molecule in molecules:
            if molecule["sequence"] == self._drops:
                continue
            for chain in molecule["chains"]:
                if molecule["kind"] == "ccd":
                    name = molecule["sequence"]
                    rows += [(chain, 7, name, atom, element(atom)) for atom in LIGANDS[name]]
                elif molecule["kind"] == "protein":
                    rows += protein(chain, molecule["sequence"])
                else:
                    rows += nucleic_acid(chain, molecule["sequence"])
        self._mean = places(len(rows))
        return rows

    def denoise(self, x, sigma, keep):
        gain = WIDTH**2 / (WIDTH**2 + sigma**2)
        self._kept = gain if keep else None
        mean = turned(self._mean, x) if self._turns else self._mean
        return mean + gain * (x - mean)

    def pullback(self, gradient):
        gain, self._kept = self._kept, None
        return gain * gradient

    def device_memory(self):
        return 0


def places(n_atoms):
    """A chain that folds back on itself; its centre is the origin."""
    along = np.arange(n_atoms)
    made = np.stack([4 * np.cos(0.7 * along), 4 * np.sin(0.7 * along), 0.4 * along], axis=1)
    return made - made.mean(axis=0)


def turned(mean, x):
    """The mean, superposed on each member."""
    u, _, vt = np.linalg.svd(np.einsum("ai,maj->mij", mean, x))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return mean @ (u @ vt)


def element(name):
    return "ZN" if name == "ZN" else name[0]


def protein(chain, sequence):
    rows = []
    for number, letter in enumerate(sequence, start=1):
        name, atoms = RESIDUES[letter]
        if number == len(sequence):
            atoms = [*atoms, "OXT"]
        rows += [(chain, number, name, atom, element(atom)) for atom in atoms]
    return rows


def nucleic_acid(chain, sequence):
    rows = []
    for number, letter in enumerate(sequence, start=1):
        atoms = ["P", "OP1", "OP2", "C1'", "N9"]
        rows += [(chain, number, NUCLEOTIDES[letter], atom, element(atom)) for atom in atoms]
    return rows
