"""Denoisers made of a denoiser and data, and the steering of many particles."""
