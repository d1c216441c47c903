"""The codec of cached results with values of the project's own types, which are stored as the database has
them.
"""

from __future__ import annotations

from typing import TypeVar

from plainsql.base_form import BaseForm
from plainsql.cache.cached_query import Codec
from plainsql.errors import PlainsqlError

__all__ = ["ConvertingCodec"]

T = TypeVar("T")


class ConvertingCodec(Codec[T]):
    """The codec of results that are stored in their base form."""

    __slots__ = ("_form",)

    def __init__(self, form: BaseForm) -> None:
        super().__init__(form.type)
        self._form = form

    def encode(self, value: T) -> bytes:
        """Return a value as bytes. Raises ``ValueError`` if that is impossible."""
        try:
            return super().encode(self._form.reduce(value))
        except PlainsqlError as error:
            raise ValueError(error.message) from None

    def decode(self, data: bytes) -> T:
        """Return the value. Raises ``ValueError`` for bytes that ``encode`` has not made."""
        try:
            value: T = self._form.restore(super().decode(data))
        except PlainsqlError as error:
            raise ValueError(error.message) from None
        return value
