"""Scales of observations: how bright the same voxel is seen at another place and time.

The expected count of a row is exposure · a · d · (b · I + c) + background, with
absorption a(x, y, φ), scale b(φ) and offset c(s, φ) of each sweep and the
detector d(x, y) of all. ``scale_observations`` fits them, the error model and
the outliers together; ``ScaleModel`` evaluates them at the centroids of any
rows of the same sweeps.
"""
