"""The steps in their order: parameters, sweeps, results by content, locks, following."""
