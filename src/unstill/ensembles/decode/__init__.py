"""A multiconformer model becomes an ensemble with the same populations."""
