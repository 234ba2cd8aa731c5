"""Make src/unstill/validation/ramachandran.csv from the native chains of cgdms 1.0.

    pip download cgdms==1.0 --no-deps && unzip cgdms-1.0-py3-none-any.whl
    python benchmarks/make_ramachandran_table.py cgdms/protein_data/train_val

Files of cgdms hold the sequence, the secondary structure and N, CA, C and the centroid of the
side chain of each residue. Residues next to a break of the chain are left out.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from unstill.validation.torsions import torsions

_BIN = 5
_HEAD = """\
# Residues by kind and (phi, psi), in bins of 5 degrees that begin where said; empty bins left out.
# Native chains of cgdms 1.0 (MIT), Greener & Jones (2021), doi:10.1371/journal.pone.0256990;
# made by benchmarks/make_ramachandran_table.py from coordinates of the PDB (CC0).
kind,phi,psi,count
"""


def main(folder: Path, target: Path) -> None:
    counts: Counter[tuple[str, int, int]] = Counter()
    for path in sorted(folder.glob("*.txt")):
        sequence, _, *numbers = path.read_text().split("\n")
        coord = np.array(" ".join(numbers).split(), dtype=float)
        if len(coord) == 12 * len(sequence.strip()):
            counts.update(residues(sequence.strip(), coord.reshape(-1, 4, 3)))
    lines = [f"{kind},{phi},{psi},{counts[kind, phi, psi]}" for kind, phi, psi in sorted(counts)]
    target.write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{sum(counts.values())} residues in {len(lines)} bins: {target}")


def residues(sequence: str, coord: np.ndarray) -> list[tuple[str, int, int]]:
    """Kind and bin of every residue with both neighbours."""
    flat = coord[:, :3].reshape(1, -1, 3)
    inner = 3 * np.arange(1, len(sequence) - 1)[:, None]
    phi = torsions(flat, inner + np.array([-1, 0, 1, 2]))[0]
    psi = torsions(flat, inner + np.array([0, 1, 2, 3]))[0]
    peptide = np.linalg.norm(coord[1:, 0] - coord[:-1, 2], axis=1)
    whole = (peptide > 1.2) & (peptide < 1.5)
    found = []
    for place in np.flatnonzero(whole[:-1] & whole[1:]).tolist():
        own, after = sequence[place + 1], sequence[place + 2]
        kind = {"G": "glycine", "P": "proline"}.get(own, "general")
        if kind == "general" and after == "P":
            kind = "pre-proline"
        corner = [int((angle[place] + 180) // _BIN) % 72 * _BIN - 180 for angle in (phi, psi)]
        found.append((kind, corner[0], corner[1]))
    return found


if __name__ == "__main__":
    here = Path(__file__).parents[1]
    main(Path(sys.argv[1]), here / "src" / "unstill" / "validation" / "ramachandran.csv")
