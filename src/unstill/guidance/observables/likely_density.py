r"""A density of measured amplitudes and the phases of a model, to guide by.

.. math:: \rho = \sum_H (2mF_o - DF_m)\, e^{i\varphi_m}\, e^{-2\pi i H\cdot x}

Free reflections and those that were not measured are held out: they are in
neither map nor loss. Fixed atoms and the flat solvent are the context of the
atoms that move. The phases lag behind the ensemble, so that the map is made
anew as the ensemble improves.
"""

from __future__ import annotations

import numpy as np

from unstill.guidance.observables.amplitudes import AmplitudeObservable
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Coord
from unstill.validation.data_scores import expand_terms
from unstill.validation.real_space import voxels_near


def likely_density(
    data: AmplitudeObservable,
    state: EnsembleState,
    *,
    sigma_share: float,
    region: Coord | None = None,
    radius: float = 6.0,
    d_min: float | None = None,
) -> DensityObservable:
    """Return the density that amplitudes and a state suggest, as an observable.

    Parameters
    ----------
    data
        Amplitudes, for the atoms of the state.
    state
        Gives phases, scales, solvent and σ_A.
    sigma_share
        Standard deviation of the map's noise, in units of its spread within 2 Å of the state.
    region, radius
        As of :class:`~unstill.guidance.observables.density.DensityObservable`.
    d_min
        Resolution (Å); that of the data by default.
    """
    terms = data.likely_terms(state)
    crystal, hkl = terms.observed.crystal, terms.observed.hkl
    d_min = data.d_min if d_min is None else max(d_min, data.d_min)
    synthesis = Synthesis(crystal, d_min)
    work = ~terms.observed.free
    seen = np.abs(expand_terms(crystal, hkl, work.astype(complex), synthesis)) > 0.5
    f = np.where(seen, expand_terms(crystal, hkl, terms.f, synthesis), 0.0)
    # Where nothing was measured, solvent and fixed atoms are not known to be anything either.
    still = np.where(seen, expand_terms(crystal, hkl, terms.f_still, synthesis), 0.0)
    target = DensityMap(crystal, synthesis.density(f))
    near = voxels_near(crystal, target.shape, state.coord)
    return DensityObservable(
        target,
        d_min,
        data.element,
        occupancy=data.occupancy,
        sigma=sigma_share * float(target.values[near].std()),
        region=region,
        radius=radius,
        held=~seen,
        context=still,
    )
