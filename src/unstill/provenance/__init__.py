"""How a result came to be: versions, command, parameters, input digests, seed.

Every file and every ``--json`` object that unstill writes carries a
:class:`Provenance`, so that a referee can recompute the number.
"""

from unstill.provenance.record import Provenance, digest_file

__all__ = ["Provenance", "digest_file"]
