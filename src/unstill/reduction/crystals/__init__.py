"""Several crystals: indexed alike, compared, and chosen."""
