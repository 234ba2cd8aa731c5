"""Whole jobs: what the parts do together, one job a file.

``demo`` is the main job — a map and coordinates in, a report of real physics
out: indexing, agreement by shell, fits of three models of motion, an ensemble
that grows towards its ceiling, a difference map. ``simulated_data`` makes the
embedded data again. A job returns a result dataclass and draws nothing
itself; ``demo_report`` turns the result of the demo into a page.
"""
