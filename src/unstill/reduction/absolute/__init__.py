"""The absolute scale of a map, and the Compton scattering that is then taken away."""
