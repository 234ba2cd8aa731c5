"""Scattering that is not the crystal's: measured, smoothed, and held against the data."""
