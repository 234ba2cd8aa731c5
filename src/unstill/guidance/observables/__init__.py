"""Data that can steer an ensemble, one kind a file."""
