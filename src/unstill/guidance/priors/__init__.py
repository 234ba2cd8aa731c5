"""Priors that come with the program: no weights, no download."""
