"""What a PDB file holds besides atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class CarriedPdb:
    """Records around the atoms of a PDB file, to be written back as they were.

    Parameters
    ----------
    head
        Records before the first atom, without CRYST1 and MODEL.
    tail
        Records after the last atom, without TER, CONECT, ENDMDL, MASTER and END.
    bonds
        CONECT records: serial numbers, the first of each with what it is bonded to.
    serial
        ``(n_rows,)`` serial numbers as they stand in the file.
    chain_end
        Rows that a TER follows.
    segment
        ``(n_rows,)`` text of columns 73 to 76.
    """

    head: tuple[str, ...]
    tail: tuple[str, ...]
    bonds: tuple[tuple[str, ...], ...]
    serial: np.ndarray
    chain_end: frozenset[int]
    segment: np.ndarray
