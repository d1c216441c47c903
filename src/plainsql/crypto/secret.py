"""The text of an encrypted column: a ``str`` that is not printed by accident."""

from __future__ import annotations

from typing import NoReturn, Self

__all__ = ["Secret"]


class Secret(str):
    """A ``str`` with the repr ``Secret('***')``, also in the repr of a row, a list or a dict.

    Use it like any other text: compare, join, format it, or pass it to a client. Serializers of whole objects
    refuse it (``msgspec`` and ``pickle`` raise ``TypeError``), so that no row with a secret gets into a cache
    or a queue. ``str(secret)`` is the plain text.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return self[:]  # a plain str

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled: pickle str(secret) if you mean its text")
