"""Detector images of a crystal whose truth is known, to prove the reduction.

A truth (an analytic or a calculated map, Bragg peaks, a background) is put
through a beam, a goniometer and a detector, with every effect that the
reduction corrects and, by switches, every fault that it must notice. What
comes out are image files as a beamline writes them, and a file that says what
was put in.

``recipe.Recipe`` makes ``frames.SimulatedFrames``, a frame source without files, of
a few numbers; ``run.write_simulation`` puts them on disk; ``voxel_truth`` tells what
a perfect reduction of them would give.
"""
