"""A look at a sample of frames before all are read: faults, strong pixels, peaks, rings."""
