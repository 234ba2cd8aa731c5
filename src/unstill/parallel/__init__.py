"""How work is spread: threads, processes and Dask, decided in one place.

Frames are independent, so unstill runs frames in parallel and keeps each
transform on one thread. ``ordered_map`` gives the results in the order of the
items, whoever computed them, so that sums come out the same to the last bit.
``cpu_count`` reads the container's quota, because a program that sees 64
cores and may use two runs several times slower.
"""

from unstill.parallel.cpu import cpu_count
from unstill.parallel.memory import physical_memory
from unstill.parallel.ordered_map import ordered_map
from unstill.parallel.processes import WorkerDiedError

__all__ = ["WorkerDiedError", "cpu_count", "ordered_map", "physical_memory"]
