"""The absolute scale of a finished map, from the coordinates of what is in the cell."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError, UnstillWarning
from unstill.io.reading import parsing
from unstill.io.structure_files import read_structure
from unstill.maps import IntensityMap
from unstill.reduction.absolute.absolute import S_MAX, Bragg, absolute_scale, to_absolute
from unstill.reduction.absolute.cell_contents import contents_of_structure
from unstill.reduction.absolute.compton import subtract_compton


@dataclass(frozen=True)
class AbsoluteChoice:
    """What is to be done to a map.

    Parameters
    ----------
    contents
        Coordinates of the asymmetric unit, PDB or mmCIF.
    compton
        Whether to subtract inelastic scattering.
    wavelength
        Of the X-rays (Å).
    """

    contents: str
    compton: bool
    wavelength: float


def on_absolute_scale(found: IntensityMap, choice: AbsoluteChoice) -> IntensityMap:
    """Bring a map to e² a unit cell, and take away Compton scattering if wanted.

    Bragg intensities are those of the coordinates.

    Raises
    ------
    InputError
        If there are no coordinates, or the map cannot be brought to that scale.
    """
    if not choice.contents:
        raise InputError(
            "the absolute scale needs to know what is in the cell",
            found="no coordinates",
            fix="give a PDB or mmCIF file as contents in [map] of --config",
        )
    path = Path(choice.contents)
    if not path.is_file():
        raise InputError("the coordinates are missing", found=str(path), fix="check contents")
    contents = contents_of_structure(read_structure(path), crystal=found.crystal)
    scale = absolute_scale(
        found,
        contents,
        bragg=calculated_bragg(path, found.crystal, 1 / S_MAX),
        wavelength=choice.wavelength,
    )
    if scale.diffuse < 0.02 * scale.expected:
        warnings.warn(
            f"only {100 * scale.diffuse / scale.expected:.1f} % of what the cell scatters is left "
            "for the map beside the Bragg peaks of the coordinates: the absolute scale is "
            "uncertain; check B-factors and contents",
            UnstillWarning,
            stacklevel=2,
        )
    whole = to_absolute(found, scale)
    if not choice.compton:
        return whole
    return subtract_compton(whole, contents.atoms, wavelength=choice.wavelength)


def calculated_bragg(path: Path, crystal: Crystal, d_min: float) -> Bragg:
    """Bragg intensities of coordinates (e² a cell), all mates, without bulk solvent."""
    with parsing(path, "a structure"):
        structure = gemmi.read_structure(str(path))
    structure.cell, structure.spacegroup_hm = crystal.cell, crystal.space_group
    structure.setup_cell_images()
    density = gemmi.DensityCalculatorX()
    density.d_min, density.rate = d_min, 2.0
    density.set_refmac_compatible_blur(structure[0])
    density.grid.setup_from(structure)
    density.put_model_density_on_grid(structure[0])
    f_map = gemmi.transform_map_to_f_phi(density.grid, half_l=False)
    f = np.asarray(f_map.array)
    axes = [np.rint(np.fft.fftfreq(n) * n).astype(int) for n in f.shape]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    s_squared = crystal.s_squared(hkl)
    inside = (s_squared > 0) & (s_squared <= 1 / d_min**2)
    # The density was blurred so that the grid can hold it.
    sharp = np.exp(density.blur * s_squared[inside] / 4)
    amplitude = np.abs(f.reshape(-1)[inside]) * sharp
    return Bragg(hkl[inside].astype(float), amplitude.astype(float) ** 2)
