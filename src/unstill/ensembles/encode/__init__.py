"""An ensemble becomes a multiconformer model: states, occupancies, labels."""

from unstill.ensembles.encode.report import Encoded, EncodedResidue, EncodeReport

__all__ = ["EncodeReport", "Encoded", "EncodedResidue"]
