"""pgvector's values: ``Vector`` (``(dim,) float32``), ``HalfVector`` (``float16``) and ``SparseVector``.

``recall`` measures how much of the exact answer a search finds. ``fill`` embeds the texts of a table's rows,
and stores the vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from plainsql.vector.pgvector_types import HalfVector, SparseVector, Vector
except ImportError as error:
    if (error.name or "").partition(".")[0] != "pgvector":
        raise
    from plainsql.errors import SettingsError  # the extra is not installed

    raise SettingsError("vectors need the pgvector package", hint="pip install 'plainsql[vector]'") from None

if TYPE_CHECKING:
    from plainsql.vector.embedding_job import fill
    from plainsql.vector.embedding_rounds import Failure, Filled
    from plainsql.vector.recall_measurement import recall
    from plainsql.vector.recall_report import RecallCase, RecallMeasurement, RecallReport

__all__ = [
    "Failure",
    "Filled",
    "HalfVector",
    "RecallCase",
    "RecallMeasurement",
    "RecallReport",
    "SparseVector",
    "Vector",
    "fill",
    "recall",
]

_LATER = {
    "Failure": "embedding_rounds",
    "Filled": "embedding_rounds",
    "fill": "embedding_job",
    "recall": "recall_measurement",
    "RecallCase": "recall_report",
    "RecallMeasurement": "recall_report",
    "RecallReport": "recall_report",
}
"""By name, the module that is imported at its first use: the executors need the values alone."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
