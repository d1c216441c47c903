"""pgvector's values: ``Vector`` (``(dim,) float32``), ``HalfVector`` (``float16``) and ``SparseVector``."""

from __future__ import annotations

try:
    from plainsql.vector.pgvector_types import HalfVector, SparseVector, Vector
except ImportError as error:
    if (error.name or "").partition(".")[0] != "pgvector":
        raise
    from plainsql.errors import SettingsError  # the extra is not installed

    raise SettingsError("vectors need the pgvector package", hint="pip install 'plainsql[vector]'") from None

__all__ = ["HalfVector", "SparseVector", "Vector"]
