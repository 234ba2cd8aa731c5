"""Leaps that no small step leads to: rotamers, backbones, loops, waters, and their rounds."""
