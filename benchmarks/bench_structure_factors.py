"""Structure factors of one frame: unstill beside gemmi's density + FFT, one core, one run.

Run by ``make bench``. Every engine runs in a process of its own, so that peak
memory is its own; the error is root mean square over a sample of the
reflections against the direct sum, relative to root mean square F.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.supercell import symmetry_operations
from unstill.scattering import Scatterers, make_engine

REPEATS = 5
SAMPLE = 400


@dataclass(frozen=True)
class Case:
    """Atoms in a P 1 cell."""

    title: str
    crystal: Crystal
    frac: np.ndarray
    scatterers: Scatterers
    d_min: float

    @property
    def index(self) -> np.ndarray:
        """Half the sphere."""
        return friedel_half(self.crystal, self.d_min)

    @property
    def sample(self) -> np.ndarray:
        """Positions of the reflections that are compared."""
        chosen = np.random.default_rng(7).choice(len(self.index), SAMPLE, replace=False)
        return np.sort(chosen)


def bpti(displaced: str) -> Case:
    """5PTI (PDB, CC0) expanded to P 1, from the PyPI package MDAnalysisTests; else a cloud.

    ``displaced``: "rest" (B = 0, as the frames of a simulation are), "isotropic"
    (B of the entry) or "anisotropic" (a random tensor of that size each).
    """
    found = importlib.util.find_spec("MDAnalysisTests")
    if found is None or found.origin is None:
        case = cloud("cloud like 5PTI", (74.1, 23.4, 28.9), 4412, 2.0)
        atoms, crystal, frac = case.scatterers, case.crystal, case.frac
    else:
        atoms, crystal, frac = _bpti_cell(Path(found.origin).parent / "data/mmcif/5PTI.cif.gz")
    b_factor, u_aniso = atoms.b_factor, None
    if displaced == "rest":
        b_factor = np.zeros(len(frac))
    if displaced == "anisotropic":
        u_aniso = _tensors(b_factor / (8 * np.pi**2))
    scatterers = Scatterers(atoms.element, atoms.occupancy, b_factor, u_aniso)
    return Case(f"5PTI in P 1, {displaced}", crystal, frac, scatterers, 2.0)


def _bpti_cell(path: Path) -> tuple[Scatterers, Crystal, np.ndarray]:
    document = gemmi.cif.read_string(gzip.decompress(path.read_bytes()).decode())
    structure = gemmi.make_structure_from_block(document.sole_block())
    # The entry marks one unknown atom "X".
    atoms = [site.atom for site in structure[0].all() if site.atom.element.atomic_number > 0]
    crystal = Crystal(structure.cell.parameters, structure.spacegroup_hm)
    frac = crystal.fractional(np.array([atom.pos.tolist() for atom in atoms]))
    rotations, translations = symmetry_operations(crystal)
    copies = np.concatenate([frac @ r.T + t for r, t in zip(rotations, translations, strict=True)])
    columns = [
        np.tile([get(atom) for atom in atoms], len(rotations))
        for get in (lambda a: a.element.name, lambda a: a.occ, lambda a: a.b_iso)
    ]
    return Scatterers(*columns), Crystal(crystal.unit_cell), copies


def _tensors(u_iso: np.ndarray) -> np.ndarray:
    """Random tensors of the given mean, axes differing by up to a factor of three."""
    rng = np.random.default_rng(3)
    axes = np.linalg.qr(rng.normal(size=(len(u_iso), 3, 3)))[0]
    sizes = rng.uniform(0.5, 1.5, (len(u_iso), 3, 1)) * u_iso[:, None, None]
    u = axes @ (sizes * np.swapaxes(axes, 1, 2))
    return u[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


def cloud(title: str, lengths: tuple[float, float, float], n_atoms: int, d_min: float) -> Case:
    """Atoms of protein composition filling a cell evenly."""
    rng = np.random.default_rng(5)
    element = rng.choice(["H", "C", "N", "O", "S"], n_atoms, p=[0.5, 0.25, 0.07, 0.175, 0.005])
    scatterers = Scatterers(element, b_factor=rng.gamma(4, 5, n_atoms))
    at_rest = Scatterers(element)
    crystal = Crystal((*lengths, 90, 90, 90))
    atoms = scatterers if "5PTI" in title else at_rest
    return Case(title, crystal, rng.random((n_atoms, 3)), atoms, d_min)


CASES: dict[str, Callable[[], Case]] = {
    "bpti": lambda: bpti("rest"),
    "bpti-b": lambda: bpti("isotropic"),
    "bpti-u": lambda: bpti("anisotropic"),
    "30k": lambda: cloud("30,000 atoms", (70.0, 66.0, 65.0), 30_000, 3.5),
    "279k": lambda: cloud("279,000 atoms", (178.0, 125.0, 126.0), 279_000, 3.5),
}
ENGINES: dict[str, tuple[str, float]] = {
    "unstill 1e-3": ("auto", 1e-3),
    "unstill 1e-4": ("auto", 1e-4),
    "unstill 1e-6": ("auto", 1e-6),
    "gemmi rate 1.5": ("gemmi", 1.5),
    "gemmi rate 2.0": ("gemmi", 2.0),
}
if importlib.util.find_spec("cufinufft"):
    ENGINES["unstill 1e-4 on GPU"] = ("gpu", 1e-4)


def measure(case_name: str, engine_name: str) -> tuple[float, np.ndarray, float]:
    """Seconds a frame, F at the sample, and peak memory above the start (MiB)."""
    case = CASES[case_name]()
    kind, setting = ENGINES[engine_name]
    before = _peak_mib()
    run = _gemmi(case, setting) if kind == "gemmi" else _unstill(case, kind, setting)
    run()
    seconds = min(_timed(run) for _ in range(REPEATS))
    return seconds, np.asarray(run())[case.sample], _peak_mib() - before


def reference(case_name: str) -> np.ndarray:
    """F at the sample by the direct sum."""
    case = CASES[case_name]()
    index = case.index[case.sample]
    engine = make_engine(case.crystal, index, case.scatterers, engine="direct")
    return np.asarray(engine.structure_factors(case.frac))


def main() -> None:
    """Print one table a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=f"of {', '.join(CASES)}")
    for name in parser.parse_args().cases:
        case = CASES[name]()
        print(
            f"\n{case.title}: {len(case.frac):,} atoms, {case.d_min} Å, {len(case.index):,} points"
        )
        print(f"{'engine':22s}{'ms/frame':>10s}{'rms error':>12s}{'peak MiB':>10s}")
        exact = _alone(reference, name)
        rows = {}
        for engine_name in ENGINES:
            seconds, f, memory = _alone(measure, name, engine_name)
            error = float(np.linalg.norm(f - exact) / np.linalg.norm(exact))
            rows[engine_name] = (seconds, error)
            print(f"{engine_name:22s}{seconds * 1e3:10.1f}{error:12.1e}{memory:10.0f}", flush=True)
        _print_ratios(rows)


def _print_ratios(rows: dict[str, tuple[float, float]]) -> None:
    """How much faster the fastest of ours is that errs no more than gemmi."""
    for theirs, (seconds, error) in rows.items():
        ours = {n: t for n, (t, e) in rows.items() if n.startswith("unstill") and e <= error}
        if theirs.startswith("gemmi") and ours:
            best = min(ours, key=ours.__getitem__)
            print(
                f"  {best} is {seconds / ours[best]:.1f} times faster than {theirs}, and errs less"
            )


def _unstill(case: Case, kind: str, tolerance: float) -> Callable[[], np.ndarray]:
    device = "gpu" if kind == "gpu" else "cpu"
    engine = make_engine(
        case.crystal, case.index, case.scatterers, tolerance=tolerance, device=device
    )
    return lambda: engine.structure_factors(case.frac)


def _gemmi(case: Case, rate: float) -> Callable[[], np.ndarray]:
    model = _gemmi_model(case)
    density = gemmi.DensityCalculatorX()
    density.d_min, density.rate = case.d_min, rate
    density.grid.set_unit_cell(case.crystal.cell)
    density.grid.spacegroup = gemmi.SpaceGroup("P 1")
    density.set_refmac_compatible_blur(model)
    index = case.index
    # exp(blur s²/4) per point, as gemmi's reciprocal_space_multiplier.
    deblur = np.exp(density.blur * case.crystal.s_squared(index) / 4)

    def run() -> np.ndarray:
        density.put_model_density_on_grid(model)
        modes = gemmi.transform_map_to_f_phi(density.grid, half_l=False)
        return np.asarray(modes.array)[tuple((index % modes.array.shape).T)] * deblur

    return run


def _gemmi_model(case: Case) -> gemmi.Model:
    residue = gemmi.Residue()
    coord = case.crystal.cartesian(case.frac)
    columns = (case.scatterers.element, coord, case.scatterers.occupancy, case.scatterers.b_factor)
    elements = {name: gemmi.Element(name) for name in np.unique(case.scatterers.element)}
    for number, (element, position, occupancy, b_factor) in enumerate(zip(*columns, strict=True)):
        atom = gemmi.Atom()
        atom.element, atom.pos = elements[element], gemmi.Position(*position)
        atom.occ, atom.b_iso = occupancy, b_factor
        if case.scatterers.u_aniso is not None:
            atom.aniso = gemmi.SMat33f(*case.scatterers.u_aniso[number])
        residue.add_atom(atom)
    chain, model = gemmi.Chain("A"), gemmi.Model(1)
    chain.add_residue(residue)
    model.add_chain(chain)
    return model


def _alone(function: Callable[..., object], *arguments: str) -> tuple:  # type: ignore[type-arg]
    """Call in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()  # type: ignore[return-value]


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
