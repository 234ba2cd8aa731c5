"""Side chains drawn by a network, as jumps of a model: LigandMPNN's packer in its own process."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import biotite.structure as bst
import gemmi
import numpy as np

from unstill.chemistry.residues import BACKBONE, is_water
from unstill.errors import InputError
from unstill.guidance.predictors.cards import find_card
from unstill.guidance.predictors.client import PredictorProcess
from unstill.guidance.predictors.environments import Environment, locate, start
from unstill.guidance.predictors.failures import PredictorProtocolError
from unstill.shapes import Coord, Coords, Float, Int

_MAIN = ("N", "CA", "C", "O")
_STANDARD = frozenset(
    gemmi.expand_one_letter_sequence("ACDEFGHIKLMNPQRSTVWY", gemmi.ResidueKind.AA)
)
_SELENIUM = {"SE": "SD"}


@dataclass(frozen=True, eq=False)
class SideChainProposals:
    """Side chains that were drawn for one backbone.

    Parameters
    ----------
    coord
        ``(n_samples, n_atoms, 3)`` in Å: the whole model with new side chains.
    rows
        Atoms that were placed anew.
    residues
        First atom of every residue that was drawn.
    log_density
        ``(n_samples, n_residues)`` log density of the drawn χ angles (per radian, of all χ of
        a residue), given the side chains of the round before: how sure the network is.
    """

    coord: Coords
    rows: Int[np.ndarray, " n_rows"]
    residues: Int[np.ndarray, " n_residues"]
    log_density: Float[np.ndarray, "n_samples n_residues"]


@contextmanager
def open_packer(
    atoms: bst.AtomArray,
    *,
    device: str | None = None,
    timeout: float = 900.0,
    environment: Environment | None = None,
) -> Iterator[SideChainPacker]:
    """Start the installed packer for a model; use it in a ``with`` block.

    Parameters
    ----------
    atoms
        One conformer of the model.
    device
        ``"cpu"``, ``"cuda"`` and the like; the first GPU by default, where there is one.
    timeout
        Longest time (s) that an answer may take.
    environment
        Where it is installed; by default where ``unstill predictor install`` put it.

    Raises
    ------
    InputError
        If it is not installed, or the model has no side chain to place.
    PredictorError
        If it fails; the subclass says why.
    """
    there = environment or locate(find_card("ligandmpnn"))
    options = {} if device is None else {"device": device}
    with start(there, options=options, timeout=timeout) as process:
        yield SideChainPacker(process, atoms)


class SideChainPacker:
    """A running packer, for the side chains of a model.

    The twenty amino acids and selenomethionine are placed, where N, CA, C and O are there; other
    atoms, waters and hydrogens apart, are what they are placed around. Atoms keep their places in
    the model: one that the packer has no name for (hydrogens of a side chain, OXT) stays.

    Parameters
    ----------
    process
        The running packer.
    atoms
        One conformer of the model.

    Raises
    ------
    InputError
        If there is no side chain to place.
    """

    def __init__(self, process: PredictorProcess, atoms: bst.AtomArray) -> None:
        self._process = process
        self._n_atoms = len(atoms)
        starts = bst.get_residue_starts(atoms, add_exclusive_stop=True)
        self._residues = [
            _Residue.read(atoms, int(a), int(b))
            for a, b in pairwise(starts)
            if _packable(atoms[a:b])
        ]
        if not any(len(one.side) for one in self._residues):
            raise InputError(
                "there is no side chain to place",
                found=f"{len(self._residues)} amino acids with N, CA, C and O",
                fix="give a protein model with its side chains",
            )
        inside = np.concatenate([np.arange(one.first, one.stop) for one in self._residues])
        free = np.setdiff1d(np.arange(self._n_atoms), inside)
        self._context = np.array(
            [
                row
                for row in free
                if str(atoms.element[row]).upper() not in ("H", "D")
                and not is_water(str(atoms.res_name[row]))
            ],
            dtype=np.int64,
        )
        self._numbers = [
            gemmi.Element(str(element)).atomic_number for element in atoms.element[self._context]
        ]

    @property
    def residues(self) -> Int[np.ndarray, " n_residues"]:
        """First atom of every residue whose side chain can be placed."""
        return np.array([one.first for one in self._residues if len(one.side)], dtype=np.int64)

    def propose(
        self,
        coord: Coord,
        n_samples: int,
        *,
        seed: int,
        residues: Collection[int] | None = None,
    ) -> SideChainProposals:
        """Draw side chains for the backbone of a member.

        Parameters
        ----------
        coord
            ``(n_atoms, 3)`` in Å, of the model's atoms.
        n_samples
            How many times.
        seed
            Same seed, same side chains on the same machine.
        residues
            First atoms of the residues to draw; the others keep their side chains, and those
            drawn fit in. By default all.

        Raises
        ------
        InputError
            If the shape does not fit, a number is out of range, or a residue cannot be placed.
        PredictorError
            If no sensible answer comes; the subclass says why.
        """
        self._check(coord, n_samples)
        wanted = set(self.residues.tolist() if residues is None else residues)
        if strange := wanted - set(self.residues.tolist()):
            raise InputError(
                "a residue has no side chain that can be placed",
                found=f"the one that begins at atom {min(strange)}",
                fix="choose among `residues` of the packer",
            )
        free = [one.first in wanted for one in self._residues]
        known = np.concatenate([one.rows for one in self._residues])
        ask: dict[str, Any] = {
            "residues": [one.as_message() for one in self._residues],
            "free": free,
            "numbers": self._numbers,
            "samples": n_samples,
            "seed": seed,
        }
        place = np.asarray(coord, dtype=float)
        names, drawn, density = self._process.pack(ask, place[known], place[self._context])
        found = np.repeat(place[None], n_samples, axis=0)
        starts = np.cumsum([0, *map(len, names)])
        moved = []
        for one, listed, begin, is_free in zip(
            self._residues, names, starts[:-1], free, strict=True
        ):
            if not is_free:
                continue
            if missing := set(one.side) - set(listed):
                raise PredictorProtocolError(
                    f"{self._process.name} left atoms of a side chain out",
                    found=", ".join(sorted(missing)),
                    fix="use the worker that came with this unstill",
                )
            for name, row in one.side.items():
                found[:, row] = drawn[:, begin + listed.index(name)]
                moved.append(row)
        return SideChainProposals(
            found,
            np.array(sorted(moved), dtype=np.int64),
            np.array([one.first for one, f in zip(self._residues, free, strict=True) if f]),
            density[:, free],
        )

    def _check(self, coord: Coord, n_samples: int) -> None:
        if coord.shape != (self._n_atoms, 3) or not np.isfinite(coord).all():
            raise InputError(
                "coordinates do not fit the model",
                found=f"shape {coord.shape}, finite: {bool(np.isfinite(coord).all())}",
                fix=f"give finite numbers of shape ({self._n_atoms}, 3)",
            )
        if n_samples < 1:
            raise InputError(
                "side chains are drawn at least once", found=n_samples, fix="give 1 or more"
            )


@dataclass(frozen=True, eq=False)
class _Residue:
    first: int
    stop: int
    chain: int
    number: int
    letter: str
    names: list[str]
    rows: Int[np.ndarray, " n_known"]
    side: dict[str, int]

    @classmethod
    def read(cls, atoms: bst.AtomArray, first: int, stop: int) -> _Residue:
        here = range(first, stop)
        names = {
            _packed_name(str(atoms.atom_name[row])): row for row in here if _heavy(atoms, row)
        }
        chains = list(dict.fromkeys(atoms.chain_id.tolist()))
        res_name = "MET" if atoms.res_name[first] == "MSE" else str(atoms.res_name[first])
        return cls(
            first,
            stop,
            chains.index(str(atoms.chain_id[first])),
            int(atoms.res_id[first]),
            gemmi.find_tabulated_residue(res_name).one_letter_code,
            list(names),
            np.array(list(names.values()), dtype=np.int64),
            {name: row for name, row in names.items() if name not in BACKBONE},
        )

    def as_message(self) -> list[Any]:
        return [self.chain, self.number, self.letter, self.names]


def _packable(residue: bst.AtomArray) -> bool:
    standard = str(residue.res_name[0]) in _STANDARD or residue.res_name[0] == "MSE"
    return standard and set(_MAIN) <= set(residue.atom_name.tolist())


def _heavy(atoms: bst.AtomArray, row: int) -> bool:
    return str(atoms.element[row]).upper() not in ("H", "D")


def _packed_name(name: str) -> str:
    return _SELENIUM.get(name, name)
