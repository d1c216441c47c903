"""Text that came out of an encrypted column: a ``str`` that is not shown by accident."""

from __future__ import annotations

from typing import NoReturn, Self

__all__ = ["Secret"]


class Secret(str):
    """A ``str`` whose repr is ``Secret('***')``, and so is what a row, a list or a dict of it shows.

    It is used like any other text: compared, joined, formatted, handed to a client. What serializes whole
    objects refuses it (``msgspec`` and ``pickle`` raise ``TypeError``), so that no row with a secret in it
    lands in a cache or a queue; ``str(secret)`` is the plain text, for where that is meant.
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
        raise TypeError("a Secret is not pickled: give str(secret) where its text is meant")
