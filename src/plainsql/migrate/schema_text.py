"""The text of ``plainsql.migrate.schema``, read as objects and their parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["PART", "changed_parts", "objects_of"]

PART: Final = re.compile(r'(?:column|constraint) (?:"(?:[^"]|"")+"|\S+)')
"""The kind and the name at the beginning of a column's or a constraint's line."""


def objects_of(text: str) -> dict[str, list[str]]:
    """Return the lines of each object, by its kind and name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            lines = found[line] = []
        elif line.strip():
            lines.append(line.strip())
    return found


def changed_parts(
    expected: Mapping[str, str], found: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield the name and both lines of each part that differs, ``None`` for a missing one; order is none."""
    for name in [*expected, *(name for name in found if name not in expected)]:
        if expected.get(name) != found.get(name):
            yield name, expected.get(name), found.get(name)
