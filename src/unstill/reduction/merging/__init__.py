"""Observations become a map: halves, error model, sums by voxel, statistics, fine maps."""
