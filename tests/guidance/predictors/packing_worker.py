"""A packer in closed form: side chains stand on a line from CA, away from the ligands.

Atom n of the side chain is n + 1 A from CA, along a direction that the seed decides; with atoms of
ligands, away from the nearest of them. Kept residues come back shifted, so that whoever uses them
is found out.
"""

import sys

import numpy as np

SIDES = {
    "G": [],
    "A": ["CB"],
    "S": ["CB", "OG"],
    "M": ["CB", "CG", "SD", "CE"],
    "W": ["CB", "CG", "CD1", "CD2", "NE1", "CE2", "CE3", "CZ2", "CZ3", "CH2"],
}


class Worker:
    name = "packing"
    version = "1.0"
    sigma_data = None
    device = "cpu"

    def __init__(self, options):
        self._fault = options.get("fault")

    def device_memory(self):
        return 0

    def pack(self, residues, free, coord, context, numbers, samples, seed):
        if self._fault == "exit":
            sys.exit(4)
        rng, names, places, start = np.random.default_rng(seed), [], [], 0
        assert len(numbers) == len(context)
        for (_, _, letter, known), is_free in zip(residues, free, strict=True):
            own = dict(zip(known, coord[start : start + len(known)], strict=True))
            start += len(known)
            side = SIDES[letter]
            names.append(["N", "CA", "C", "O", *side])
            for name in ("N", "CA", "C", "O"):
                places.append(np.repeat(own[name][None], samples, axis=0))
            towards = rng.standard_normal((samples, 3))
            if len(context):
                nearest = context[np.linalg.norm(context - own["CA"], axis=1).argmin()]
                towards = np.repeat((own["CA"] - nearest)[None], samples, axis=0)
            towards /= np.linalg.norm(towards, axis=1, keepdims=True)
            for n, _ in enumerate(side):
                places.append(own["CA"] + (n + 2) * towards + (0 if is_free else 50))
        if self._fault == "names":
            names[-1] = names[-1][:-1]
            places = places[:-1]
        return names, np.stack(places, axis=1), rng.standard_normal((samples, len(residues)))
