"""A text with a path: offsets become places, and places become errors."""

from __future__ import annotations

import re
from bisect import bisect_right

from plainsql.errors import Place, SqlFileError

__all__ = ["Source"]


class Source:
    """A text that came from a file, whole or from one of its lines on.

    ``line`` is the 1-based line of the file at which ``text`` begins.
    """

    __slots__ = ("_excerpt", "_starts", "line", "path", "text")

    def __init__(self, text: str, path: str, line: int = 1) -> None:
        self.text = text
        self.path = path
        self.line = line
        self._starts: list[int] | None = None
        self._excerpt = (-1, "")

    def place(self, offset: int) -> Place:
        """Return the place of the character at ``offset``: 0-based, in characters, the end included."""
        text = self.text
        if self._starts is None:
            # Computed once for a text: a header has a place for each of its keys.
            self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        number = bisect_right(self._starts, offset)
        start = self._starts[number - 1]
        if self._excerpt[0] != start:
            # One excerpt for all places of a line: a line of ten thousand parameters has as many places.
            end = text.find("\n", offset)
            self._excerpt = start, text[start : len(text) if end < 0 else end].rstrip("\r")
        return Place(self.path, self.line + number - 1, offset - start + 1, self._excerpt[1])

    def error(
        self, offset: int, message: str, *, detail: str | None = None, hint: str | None = None
    ) -> SqlFileError:
        """Return an error at the character at ``offset``, to raise or to collect."""
        return SqlFileError(message, place=self.place(offset), detail=detail, hint=hint)
