"""Which atom of one model is which of another, whatever its chains and residues are called.

``match_models`` pairs chains by their sequences, residues by alignment, atoms by
name, ligands and waters by place; what has no partner is named.
"""

from unstill.ensembles.matching.models import AtomMatch, ChainPair, match_models

__all__ = ["AtomMatch", "ChainPair", "match_models"]
