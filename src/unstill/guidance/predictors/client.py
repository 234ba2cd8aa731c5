"""A predictor in a process of its own: started, asked, watched, started again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import biotite.structure
import numpy as np

from unstill.errors import InputError
from unstill.guidance.predictors import failures, protocol, wire
from unstill.guidance.predictors.channel import Channel, ClosedError, DeadlineError
from unstill.guidance.predictors.protocol import Hello, Molecule, Report
from unstill.parallel import cpu_count
from unstill.shapes import Coord, Coords

Packed = tuple[list[list[str]], Coords, np.ndarray]

WORKER_MAIN = Path(__file__).with_name("worker_main.py")


class PredictorProcess:
    """A running predictor.

    Use it in a ``with`` block: on leaving, also by an exception or Ctrl-C, its
    process and all that this started are ended. An error that leaves the
    conversation in doubt ends the process as well; :meth:`restart` brings it
    back to where it was.

    Parameters
    ----------
    name
        For messages.
    python
        The predictor's own Python.
    worker
        Its ``worker.py``.
    options
        What its worker takes: ``weights``, ``device`` and others.
    timeout
        Longest time (s) that an answer may take.
    threads
        Threads of the predictor; as many as processors by default.

    Raises
    ------
    PredictorError
        If it cannot be started; the subclass says why.
    """

    def __init__(
        self,
        name: str,
        python: Path,
        worker: Path,
        *,
        options: Mapping[str, Any] | None = None,
        timeout: float = 900.0,
        threads: int | None = None,
    ) -> None:
        self.name = name
        self.hello: Hello
        self._python, self._worker = Path(python), Path(worker)
        self._options = dict(options or {})
        self._timeout = timeout
        self._threads = cpu_count() if threads is None else threads
        self._numbers = itertools.count(1)
        self._featurised: tuple[list[dict[str, Any]], int] | None = None
        self._atoms: biotite.structure.AtomArray | None = None
        self._channel: Channel | None = None
        self._start()

    @property
    def atoms(self) -> biotite.structure.AtomArray:
        """Atoms in the predictor's order, without coordinates; known once featurised."""
        if self._atoms is None:
            raise InputError(
                f"{self.name} does not know yet what to predict",
                found="no molecules",
                fix="call featurise first",
            )
        return self._atoms

    @property
    def pid(self) -> int | None:
        """Number of the process; ``None`` where none runs."""
        return None if self._channel is None else self._channel.pid

    def featurise(
        self, molecules: Sequence[Molecule], *, seed: int = 0
    ) -> biotite.structure.AtomArray:
        """Tell what to predict; the part of the network that needs no coordinates runs here.

        Parameters
        ----------
        molecules
            With chain names of their own.
        seed
            Of whatever is random in it.

        Returns
        -------
        AtomArray
            Atoms in the predictor's order; their coordinates are not set.

        Raises
        ------
        InputError
            If it cannot take the molecules, or leaves some of them out.
        PredictorError
            If no sensible answer comes; the subclass says why.
        """
        self._featurised = (protocol.checked_molecules(molecules), seed)
        self._atoms = self._ask_for_atoms()
        return self._atoms

    def denoise(self, x: Coords, sigma: float, *, keep: bool = False) -> Coords:
        """Clean coordinates of members with noise.

        Parameters
        ----------
        x
            ``(n_members, n_atoms, 3)`` in Å, centred as the network is used to.
        sigma
            S.d. of the noise (Å).
        keep
            Keep what :meth:`pullback` needs; takes several times the memory.

        Returns
        -------
        ndarray
            ``(n_members, n_atoms, 3)`` in Å, float64.

        Raises
        ------
        InputError
            If the shape does not fit, or the noise is not positive.
        PredictorError
            If no sensible answer comes; the subclass says why.
        """
        self._check_shape(x)
        if not 0 < sigma < np.inf:
            raise InputError(
                "noise must be positive", found=f"{sigma:g} Å", fix="give a level above 0"
            )
        ask = {"type": "denoise", "sigma": float(sigma), "keep": keep}
        _, arrays = self._ask(ask, {"x": np.asarray(x)})
        return self._checked(arrays, "clean", x.shape)

    def pullback(self, gradient: Coords) -> Coords:
        """Transposed Jacobian of the last :meth:`denoise`, which was told to keep it.

        Parameters
        ----------
        gradient
            ``(n_members, n_atoms, 3)`` gradient to its result.

        Returns
        -------
        ndarray
            ``(n_members, n_atoms, 3)`` gradient to its input, float64.
        """
        self._check_shape(gradient)
        _, arrays = self._ask({"type": "pullback"}, {"gradient": np.asarray(gradient)})
        return self._checked(arrays, "gradient", gradient.shape)

    def pack(self, ask: Mapping[str, Any], coord: Coord, context: Coord) -> Packed:
        """Side chains drawn anew; see :class:`SideChainPacker`, which asks for them.

        Parameters
        ----------
        ask
            ``residues``, ``free``, ``numbers``, ``samples`` and ``seed``.
        coord, context
            ``(n, 3)`` places (Å) of the atoms of the residues, and of ligands.

        Returns
        -------
        names, coord, density
            Atom names by residue, ``(samples, n_named, 3)`` in Å, ``(samples, n_residues)``.

        Raises
        ------
        PredictorError
            If no sensible answer comes; the subclass says why.
        """
        answer, arrays = self._ask(
            {"type": "pack", **ask}, {"coord": coord, "context": context.reshape(-1, 3)}
        )
        n_residues, samples = len(ask["residues"]), ask["samples"]
        names = answer.get("names")
        if not isinstance(names, list) or len(names) != n_residues:
            raise self._nonsense(f"names of {names!r:.60} for {n_residues} residues")
        named = [[str(name) for name in one] for one in names]
        shape = (samples, sum(map(len, named)), 3)
        found = self._checked(arrays, "coord", shape)
        return named, found, self._checked(arrays, "density", (samples, n_residues))

    def report(self) -> Report:
        """Device and memory in use now."""
        answer, _ = self._ask({"type": "report"})
        return protocol.read_report(answer)

    def restart(self) -> None:
        """Begin again in a new process, and bring it to where the old one was.

        Raises
        ------
        PredictorProtocolError
            If it has other atoms than before.
        """
        self.stop()
        self._start()
        if self._featurised is not None and self._atoms is not None:
            again = self._ask_for_atoms()
            if not _same_atoms(again, self._atoms):
                raise failures.PredictorProtocolError(
                    f"{self.name} has other atoms after a restart",
                    found=f"{again.array_length()} for {self._atoms.array_length()}",
                    fix="report this; its worker must not depend on chance",
                )

    def stop(self) -> None:
        """End the process, at once; may be called again."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.stop()

    def close(self) -> None:
        """Let the process end by itself, or end it."""
        if self._channel is not None:
            try:
                self._ask({"type": "shutdown"}, timeout=min(5.0, self._timeout))
                self._channel.ended(2.0)
            except failures.PredictorError:
                pass
        self.stop()

    def __enter__(self) -> PredictorProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()

    def _start(self) -> None:
        command = [str(self._python), "-I", str(WORKER_MAIN), str(self._worker.absolute())]
        try:
            self._channel = Channel(command, threads=self._threads)
        except OSError as error:
            raise failures.PredictorDiedError(
                f"the Python of {self.name} could not be started",
                found=f"{self._python}: {error.strerror}",
                fix=f"run: unstill predictor install {self.name}",
            ) from error
        ask = {"type": "hello", "protocol": wire.PROTOCOL, "options": self._options}
        try:
            answer, _ = self._ask(ask)
            self.hello = protocol.read_hello(self.name, answer)
        except BaseException:
            self.stop()
            raise

    def _ask_for_atoms(self) -> biotite.structure.AtomArray:
        assert self._featurised is not None
        molecules, seed = self._featurised
        answer, _ = self._ask({"type": "featurise", "molecules": molecules, "seed": seed})
        ligands = {c for m in molecules if m["kind"] in protocol.LIGANDS for c in m["chains"]}
        atoms = protocol.read_atoms(answer, ligands)
        # Some predictors drop, without a word, what they were not trained on.
        there = set(atoms.chain_id.tolist())
        if lost := [m for m in molecules if not set(m["chains"]) <= there]:
            raise InputError(
                f"{self.name} left molecules out",
                found=", ".join(f"{m['kind']} {m['sequence'][:20]}" for m in lost),
                fix="leave them out of the model as well",
            )
        return atoms

    def _ask(
        self,
        ask: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        timeout: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        channel = self._channel
        if channel is None:
            raise failures.PredictorDiedError(
                f"{self.name} does not run", found="no process", fix="call restart"
            )
        number = next(self._numbers)
        patience = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + patience
        try:
            channel.send(wire.encode({**ask, "id": number}, arrays), deadline)
            answer, found = wire.decode(lambda size: channel.read(size, deadline))
        except BaseException as error:
            # Half a frame may be on its way: nobody can speak with this process any more.
            code = channel.ended() if isinstance(error, ClosedError) else None
            self.stop()
            failure = self._failure(error, code, channel.last_lines(), patience)
            if failure is None:
                raise
            raise failure from error
        if answer.get("type") == "error" and answer.get("id") in (number, None):
            raise failures.told(self.name, answer, channel.last_lines())
        if answer.get("type") != ask["type"] or answer.get("id") != number:
            self.stop()
            raise self._nonsense(f"type {answer.get('type')!r} to {ask['type']!r}")
        return answer, found

    def _failure(
        self, error: BaseException, code: int | None, stderr: str, patience: float
    ) -> failures.PredictorError | None:
        if isinstance(error, ClosedError) and code is not None:
            return failures.died(self.name, code, stderr)
        if isinstance(error, ClosedError):
            return self._nonsense(failures.with_stderr("a closed pipe", stderr))
        if isinstance(error, DeadlineError):
            return failures.PredictorTimeoutError(
                f"{self.name} gave no answer in {patience:g} s and was stopped",
                found=failures.with_stderr("silence", stderr),
                fix="give a longer timeout, or fewer members at a time (batch)",
            )
        if isinstance(error, wire.BrokenFrameError):
            return self._nonsense(failures.with_stderr(str(error), stderr))
        return None

    def _nonsense(self, found: str) -> failures.PredictorProtocolError:
        return failures.PredictorProtocolError(
            f"{self.name} answered what cannot be an answer",
            found=found,
            fix="use the worker that came with this unstill",
        )

    def _check_shape(self, x: Coords) -> None:
        n_atoms = self.atoms.array_length()
        if x.ndim != 3 or x.shape[1:] != (n_atoms, 3) or not np.isfinite(x).all():
            raise InputError(
                f"coordinates do not fit the atoms of {self.name}",
                found=f"shape {x.shape}, finite: {bool(np.isfinite(x).all())}",
                fix=f"give finite numbers of shape (n_members, {n_atoms}, 3)",
            )

    def _checked(
        self, arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]
    ) -> Coords:
        array = arrays.get(name)
        if array is None or array.shape != shape or array.dtype.kind != "f":
            got = "nothing" if array is None else f"shape {array.shape} of {array.dtype}"
            raise self._nonsense(f"{got} for coordinates of shape {shape}")
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise failures.PredictorProtocolError(
                f"{self.name} answered with numbers that are not finite",
                found=f"{bad} of {array.size}",
                fix="check its weights; on a device of low precision, use another",
            )
        return array.astype(float)


def _same_atoms(a: biotite.structure.AtomArray, b: biotite.structure.AtomArray) -> bool:
    names = ("chain_id", "res_id", "res_name", "atom_name", "element")
    return all(np.array_equal(a.get_annotation(n), b.get_annotation(n)) for n in names)
