"""Replacements in a text, and the way back from the new text to the old one."""

from __future__ import annotations

from bisect import bisect_right

__all__ = ["Edits"]


class Edits:
    """The replacements of parts of a text, collected in any order; they do not overlap."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[int, str]] = {}
        self._outputs: list[int] = []
        self._origins: list[int] = []

    def replace(self, start: int, end: int, text: str) -> None:
        """Replace a part; the last replacement of one start counts."""
        self._parts[start] = end, text

    def apply(self, text: str, start: int, end: int) -> str:
        """Return the part of a text with its replacements."""
        out: list[str] = []
        size = 0
        position = start
        self._outputs, self._origins = [], []

        def add(part: str, origin: int) -> None:
            nonlocal size
            self._outputs.append(size)
            self._origins.append(origin)
            out.append(part)
            size += len(part)

        for first in sorted(self._parts):
            last, new = self._parts[first]
            if start <= first < end:
                add(text[position:first], position)
                add(new, first)
                position = last
        add(text[position:end], position)
        return "".join(out)

    def origin(self, offset: int) -> int:
        """Return the offset in the old text of a character of the new one; ``apply`` was called before."""
        index = max(bisect_right(self._outputs, offset) - 1, 0)
        start = self._origins[index]
        return start if start in self._parts else start + offset - self._outputs[index]
