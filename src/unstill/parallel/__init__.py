"""How work is spread: threads, processes and Dask, decided in one place.

Frames are independent, so unstill runs frames in parallel and keeps each
transform on one thread. ``cpu_count`` reads the container's quota, because a
program that sees 64 cores and may use two runs several times slower.
"""

from unstill.parallel.cpu import cpu_count

__all__ = ["cpu_count"]
