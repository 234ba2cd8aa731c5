"""A predictor in closed form: Gaussian around a chain, not centred, not isotropic.

D(x) = m + C (C + sigma^2)^-1 (x - m), one 3 x 3 matrix C for all atoms.
"""

import os
import sys

import numpy as np

NAMES = ("N", "CA", "C", "O")
SPREAD = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 2.0]])


def reference(n_atoms):
    along = np.arange(n_atoms)
    return np.stack([1.5 * along, np.sin(along), np.cos(1.3 * along)], axis=1)


class Worker:
    name = "linear"
    version = "1.0"
    sigma_data = 16.0

    def __init__(self, options):
        sys.stdout.write("a predictor that prints to standard output\n")
        os.system("echo so does its child")
        sys.stderr.write("and to standard error\n")
        self.device = options.get("device", "cpu")
        self._kept = None

    def featurise(self, molecules, seed):
        rows = []
        for molecule in molecules:
            for chain in molecule["chains"]:
                for number, _ in enumerate(molecule["sequence"], start=1):
                    rows += [(chain, number, "GLY", name, name[0]) for name in NAMES]
        self._mean = reference(len(rows))
        return rows

    def denoise(self, x, sigma, keep):
        gain = SPREAD @ np.linalg.inv(SPREAD + sigma**2 * np.eye(3))
        self._kept = gain if keep else None
        return self._mean + (x - self._mean) @ gain.T

    def pullback(self, gradient):
        gain, self._kept = self._kept, None
        return gradient @ gain

    def device_memory(self):
        return 0
