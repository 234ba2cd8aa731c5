"""``unstill density``: the density of a model at a resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unstill.cli.options import Debug, Json, Seed, positive
from unstill.cli.verb import Verb


def register(app: typer.Typer) -> None:
    """Add ``density`` to the verbs."""
    app.command("density")(density)


def _occupancies(text: str | None) -> str | None:
    if text is not None:
        _parsed(text)
    return text


def _parsed(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in text.split(","):
        label, equals, number = part.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not label.strip() or not equals or not 0 <= value <= 1 or label.strip() in found:
            raise typer.BadParameter("give label=occupancy pairs, for example A=0.5,B=0.5")
        found[label.strip()] = value
    return found


def density(
    model: Annotated[Path, typer.Argument(help="A model or ensemble: mmCIF, BinaryCIF or PDB.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="CCP4 map to write.")],
    resolution: Annotated[
        float, typer.Option("--resolution", callback=positive, help="Resolution d_min (Å).")
    ],
    occupancy: Annotated[
        str | None,
        typer.Option(
            "--occupancy",
            callback=_occupancies,
            help="Occupancies by altloc, as A=0.5,B=0.5. [default: those of the file]",
        ),
    ] = None,
    noise: Annotated[
        float,
        typer.Option(
            "--noise", min=0, help="Gaussian noise, in standard deviations of the density."
        ),
    ] = 0.0,
    em: Annotated[
        bool, typer.Option("--em", help="Scattering of electrons instead of X-rays.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the density of a model: Fourier synthesis of F to d >= d_min, with F(000).

    The map covers the whole unit cell, symmetry mates included, in electrons per
    cubic angstrom (with --em in angstroms per cubic angstrom), on a grid of d_min/3
    or finer. Bulk solvent is not in it.

    Example: unstill density model.cif -o model.ccp4 --resolution 1.8
    """
    with Verb("density", as_json=as_json, debug=debug) as verb:
        from unstill.cli.outputs import check_outputs
        from unstill.diffuse.density import add_noise, density_of, electrons_of
        from unstill.ensembles.set_occupancies import set_occupancies
        from unstill.io.density_ccp4 import write_density_map
        from unstill.io.structure_files import read_structure
        from unstill.maps.density_map import DensityMap

        check_outputs([out], [model])
        record = verb.record(
            {
                "model": model,
                "resolution": resolution,
                "occupancy": occupancy,
                "noise": noise,
                "em": em,
            },
            inputs=[model],
            seed=seed if noise else None,
        )
        atoms = read_structure(model)
        if occupancy is not None:
            atoms = set_occupancies(atoms, _parsed(occupancy))
        made = density_of(atoms, resolution, electron=em)
        integral = made.integral
        if noise:
            made = add_noise(made, resolution, noise, seed)
        write_density_map(DensityMap(made.crystal, made.values, record.as_dict()), out)
        verb.output("map", out)
        electrons = electrons_of(atoms)
        verb.result = {
            "electrons": electrons,
            "electrons_cell": None if em else made.integral,
            "integral_cell": made.integral,
            "shape": list(made.shape),
            "voxel": list(made.voxel),
            "d_min": resolution,
            "n_atoms": atoms.n_atoms,
            "n_members": atoms.n_members,
        }
        per_unit = integral / made.crystal.n_operations
        verb.say(f"{atoms.n_atoms} atoms, {electrons:,.0f} electrons in one asymmetric unit")
        unit = "Å" if em else "electrons"
        verb.say(f"integral of the map: {per_unit:,.0f} {unit} an asymmetric unit")
        steps = " × ".join(f"{step:.3f}" for step in made.voxel)
        verb.say(f"grid {' × '.join(map(str, made.shape))}, steps {steps} Å")
        verb.say(f"map: {out}")
