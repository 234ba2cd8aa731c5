"""From frames to a diffuse map: I_D = ⟨|F|²⟩ − |⟨F⟩|² (Guinier), streaming.

The driver reads frames in chunks, sums structure factors by block and
selection in float64 and in a fixed order, saves its state so that a killed
run resumes to the same bits, and spreads frames over processes or Dask.
Here too: the Bragg fold of the same frames and the expected ceiling CC_max.
"""
