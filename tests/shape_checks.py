"""The type checker behind the shape checks: beartype, with int where float is asked for."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

typechecked = beartype(conf=BeartypeConf(is_pep484_tower=True))
