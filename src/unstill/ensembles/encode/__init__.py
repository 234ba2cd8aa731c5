"""An ensemble becomes a multiconformer model: states, occupancies, labels.

``encode_lossless`` keeps every place of every atom, ``encode_eps`` few states within a bound,
``encode_legacy`` flat conformers of one letter each.
"""

from unstill.ensembles.encode.eps import encode_eps
from unstill.ensembles.encode.legacy import encode_legacy
from unstill.ensembles.encode.lossless import encode_lossless
from unstill.ensembles.encode.report import Encoded, EncodedResidue, EncodeReport

__all__ = [
    "EncodeReport",
    "Encoded",
    "EncodedResidue",
    "encode_eps",
    "encode_legacy",
    "encode_lossless",
]
