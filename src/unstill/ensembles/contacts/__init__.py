"""Which atoms of a model touch, are bonded or clash, and in how many copies."""
