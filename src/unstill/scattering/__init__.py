"""How atoms scatter: arrays in, arrays out; no files and no models of motion.

Form factors (X-ray, electron, neutron) and their low-rank form; engines that
turn coordinates into structure factors at the points of a supercell —
``nufft`` (default), ``density`` (anisotropic atoms) and ``direct`` (the
oracle) — and the adjoint that returns gradients to coordinates, occupancies
and B. The formula lines are written on the array-API namespace.
"""
