"""Models of motion: parameters to a diffuse map, and the fit that finds them.

Rigid translation, liquid-like motions and rigid-body TLS, one a file, all on
one transform of the model; each with analytic gradients and a sampled twin
(an ensemble drawn from the same statistics). ``fit`` is one optimiser for
all of them.
"""
