"""The comparison before migrations are marked: does the database have what they create?

Both sides are texts of ``plainsql.migrate.schema``. Owners, grants and versions of extensions are left out:
the migrations ran as another role, on another server. Objects that only the database has are no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from plainsql.migrate.schema_text import PART, changed_parts, objects_of

__all__ = ["differences"]

_NOT_COMPARED = re.compile(r"(?:owner|grants) ")
_TAIL_NOT_COMPARED = re.compile(r"(?: grants|, version) \S+$")
_KINDS_NOT_COMPARED = ("default privileges ", "publication ", "subscription ")
_TABLES = ("table ", "partitioned table ", "foreign table ")


def differences(expected: str, found: str) -> list[str]:
    """Return one line for each object, column or constraint that is missing or different in ``found``."""
    return list(_compare(_objects(expected), _objects(found)))


def _compare(expected: dict[str, list[str]], found: dict[str, list[str]]) -> Iterator[str]:
    for name, lines in expected.items():
        if name.startswith(_KINDS_NOT_COMPARED):
            continue
        if name not in found:
            yield f"{name}: expected it, got none"
        elif name.startswith(_TABLES):
            for line in _parts(lines, found[name]):
                yield f"{name}: {line}"
        elif lines != found[name]:
            if len(lines) == len(found[name]) == 1:
                yield f"{name}: expected {lines[0]}, got {found[name][0]}"
            else:
                yield f"{name}: its definition is another one"


def _parts(expected: list[str], found: list[str]) -> Iterator[str]:
    """Yield the differences of two tables; the order of columns is none."""
    for name, wanted, there in changed_parts(_by_name(expected), _by_name(found)):
        yield f"expected {wanted or f'no {name}'}, got {there or 'none'}"


def _by_name(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        part = PART.match(line)
        found[part[0] if part else line] = line
    return found


def _objects(text: str) -> dict[str, list[str]]:
    """Return the compared lines of each object, by its kind and name."""
    return {
        name: [_TAIL_NOT_COMPARED.sub("", line) for line in lines if not _NOT_COMPARED.match(line)]
        for name, lines in objects_of(text).items()
    }
