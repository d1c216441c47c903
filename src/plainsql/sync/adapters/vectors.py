"""pgvector's types: the classes of ``plainsql.vector``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from plainsql.sync.adapters.adapter import Adapter, text_loader
from plainsql.sync.adapters.numbers import single

__all__ = ["vector_adapter"]

_ELEMENT: Final = re.compile(r"(\d+):([^,}]+)")


def vector_adapter(name: str) -> Adapter:
    """Return the adapter of ``vector``, ``halfvec`` or ``sparsevec``. Needs the pgvector package."""
    from plainsql.vector import HalfVector, SparseVector, Vector, codecs

    def load_sparse(text: str) -> Any:
        elements, _, dimensions = text.rpartition("/")
        # Indices count from 1 in text, from 0 in Python.
        values = {int(index) - 1: single(float(value)) for index, value in _ELEMENT.findall(elements)}
        return SparseVector(values, int(dimensions))

    kinds: dict[str, tuple[Callable[[Any], Any], Callable[[str], Any]]] = {
        "vector": (codecs.as_vector, Vector.from_text),
        "halfvec": (codecs.as_half_vector, HalfVector.from_text),
        "sparsevec": (codecs.as_sparse_vector, load_sparse),
    }
    as_vector, load = kinds[name]
    return Adapter(name, lambda value: as_vector(value).to_text(), text_loader(load))
