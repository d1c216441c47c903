"""pgvector's values: ``Vector`` (``(dim,) float32``), ``HalfVector`` (``float16``) and ``SparseVector``.

``fill`` embeds the texts of a table's rows, and stores the vectors.
"""

from __future__ import annotations

try:
    from pgvector import HalfVector, SparseVector, Vector
except ImportError:  # the extra is not installed
    from plainsql.errors import SettingsError

    raise SettingsError("vectors need the pgvector package", hint="pip install 'plainsql[vector]'") from None

from plainsql.vector.embedding_job import fill
from plainsql.vector.embedding_rounds import Failure, Filled

__all__ = ["Failure", "Filled", "HalfVector", "SparseVector", "Vector", "fill"]
