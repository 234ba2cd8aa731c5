"""A multiconformer model becomes an ensemble with the same populations.

``decode`` makes whole copies: alternatives exclude each other, a child comes
with its parent, rules are kept, what is partial is absent in the right share of the copies, and
chain bonds and contacts are as good as the populations allow, proven by integer
programming. Groups of alternatives are tied to each other by conflicts only, so
that components are small; each is solved on the tree of its cliques.
"""

from unstill.ensembles.decode.decoding import Decoded, DecodeMode, decode
from unstill.ensembles.decode.report import DecodeReport

__all__ = ["DecodeMode", "DecodeReport", "Decoded", "decode"]
