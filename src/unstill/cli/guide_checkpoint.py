"""The checkpoint of ``unstill guide``: the same command goes on where it was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unstill.guidance.anneal import Walk


class GuideCheckpoint:
    """Writes a checkpoint after every level, and reads the one that belongs to this command.

    Parameters
    ----------
    path
        Of the checkpoint.
    record
        Provenance of the command; a checkpoint of another one is not read.
    trajectory
        Keep all levels, too.
    """

    def __init__(self, path: Path, record: dict[str, Any], *, trajectory: bool) -> None:
        self._path = path
        keys = ("parameters", "inputs", "seed", "versions")
        self._told = _plain({key: record.get(key) for key in keys})
        self.levels: list[Walk] | None = [] if trajectory else None
        self.resume = self._read()

    def keep(self, walk: Walk, sigma: float) -> None:
        """Write where the walk stands."""
        from unstill.cli.out_folder import make_folder
        from unstill.io.walk_file import write_walk

        del sigma
        # Only now: a run that is refused leaves no folder.
        make_folder(self._path.parent)
        if self.levels is not None:
            self.levels.append(walk)
        parts = {
            "coord": walk.coord,
            "clean": walk.clean,
            "weights": walk.weights,
            "b_factor": walk.b_factor,
        }
        told = {"n_done": walk.n_done, "generator": dict(walk.generator), "run": self._told}
        write_walk(self._path, parts, told)

    def done(self) -> None:
        """Remove the checkpoint of a run that came to its end."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> Walk | None:
        from unstill.guidance.anneal import Walk
        from unstill.io.walk_file import read_walk

        found = read_walk(self._path)
        if found is None or found[1].get("run") != self._told or self.levels is not None:
            return None
        parts, told = found
        return Walk(
            int(told["n_done"]),
            parts["coord"],
            parts["clean"],
            parts["weights"],
            parts["b_factor"],
            told["generator"],
        )


def _plain(value: Any) -> Any:
    import json

    from unstill.provenance.record import plain

    return json.loads(json.dumps(plain(value)))
