"""Curves and maps are the model at its knots."""

from __future__ import annotations

import numpy as np
from synthetic import make

from unstill.reduction.scaling.curves import (
    absorption_maps,
    detector_map,
    offset_map,
    scale_curve,
)
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.scale import scale_observations


def test_curves_and_maps_multiply_to_the_scale():
    rows = make(n_voxels=600, multiplicity=6, seed=31).observations
    options = ScaleOptions(absorption="on", offset="on", detector="on", max_rounds=2)
    model = scale_observations(rows, options).model
    phi, b = scale_curve(model, 1)
    angles, a = absorption_maps(model, 1)
    s, along, c = offset_map(model, 1)
    d = detector_map(model)
    corner = rows.take(slice(0, 1)).replace(
        sweep=np.array([1], np.int32),
        phi=np.array([phi[0]]),
        x=np.array([rows.x.min()]),
        y=np.array([rows.y.max()]),
        s=np.array([s[-1]]),
    )
    scale, offset = model.scale_and_offset(corner)
    assert np.isclose(scale[0], a[0, -1, 0] * d[-1, 0] * b[0])
    assert np.isclose(offset[0], a[0, -1, 0] * d[-1, 0] * c[-1, 0])
    assert a.shape == (len(angles), *a.shape[1:])
    assert c.shape == (len(s), len(along))


def test_surfaces_that_are_not_used_are_empty():
    rows = make(n_voxels=300, multiplicity=6, effects="b").observations
    options = ScaleOptions(absorption="off", offset="off", detector="off", max_rounds=1)
    model = scale_observations(rows, options).model
    assert absorption_maps(model, 0)[1].size == 0
    assert offset_map(model, 0)[2].size == 0
    assert detector_map(model).size == 0
    assert len(scale_curve(model, 0)[0]) > 10
