"""Ensembles from generative models, steered by experimental data.

Small protocols that know nothing of each other's insides (``protocols``):
a prior denoises, an observable says how far an ensemble is from the data, a
guide makes a denoiser of both, a sampler walks from noise to an ensemble.
A guided denoiser is a denoiser, so that things nest.
"""
