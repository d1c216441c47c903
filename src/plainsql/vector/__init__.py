"""pgvector's values: ``Vector`` (``(dim,) float32``), ``HalfVector`` (``float16``) and ``SparseVector``."""

from __future__ import annotations

try:
    from pgvector import HalfVector, SparseVector, Vector
except ImportError:  # the extra is not installed
    from plainsql.errors import SettingsError

    raise SettingsError("vectors need the pgvector package", hint="pip install 'plainsql[vector]'") from None

__all__ = ["HalfVector", "SparseVector", "Vector"]
