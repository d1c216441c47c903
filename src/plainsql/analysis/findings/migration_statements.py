"""The migration statements that made a function what it is, and the findings that are allowed there.

A comment above a statement allows a finding in it, as in the header of a query::

    -- allow: definer-search-path: it is called by a superuser alone
    create function …
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plainsql.errors import Place
from plainsql.migrate.discovery import Migration, read_folder
from plainsql.migrate.script import Statement, place_at

__all__ = ["MigrationAllowance", "MigrationStatements"]

_ALLOW: Final = re.compile(
    r"^[ \t]*--[ \t]*(allow[ \t]*:[ \t]*([a-z][a-z0-9-]*)[ \t]*(?::[ \t]*(.*?))?)[ \t]*$", re.MULTILINE
)
_NAME: Final = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_FUNCTION_HEAD: Final = re.compile(
    rf"(create(?:\s+or\s+replace)?|alter)\s+(?:function|procedure|routine)\s+({_NAME})(?:\s*\.\s*({_NAME}))?",
    re.IGNORECASE,
)
# The words of an `alter function` that changes whose rights it has, or its search_path.
_SECURITY_WORDS: Final = frozenset({"security", "search_path", "reset"})
_MIN_BODY_CHARS: Final = 16
"""The characters of a body that is recognised by itself, if the function was renamed since."""


@dataclass(frozen=True, slots=True)
class MigrationAllowance:
    """An ``allow:`` line above a statement."""

    finding: str
    reason: str
    place: Place


@dataclass(frozen=True, slots=True)
class _Part:
    migration: Migration
    statement: Statement
    begins: int
    """The end of the statement before it: comments above it begin there."""


class MigrationStatements:
    """The statements of a folder of migrations, in the order in which they run."""

    def __init__(self, folder: Path) -> None:
        self._parts: list[_Part] = []
        for migration in read_folder(folder).migrations if folder.is_dir() else ():
            begins = 0
            for statement in migration.script.statements:
                self._parts.append(_Part(migration, statement, begins))
                begins = statement.start + len(statement.text)

    def of_function(self, schema: str, name: str, body: str) -> tuple[Place, list[MigrationAllowance]] | None:
        """Return the statement that last made a function what it is, and the findings that are allowed there.

        ``None`` if there is none, as when a name is built at run time.
        """
        found = (
            self._last(lambda part: _makes(part.statement, schema, name, body))
            or self._last(lambda part: len(body.strip()) >= _MIN_BODY_CHARS and body in part.statement.text)
            or self._last(lambda part: _mentions(part.statement, name))
        )
        if found is None:
            return None
        script = found.migration.script
        return place_at(found.migration.path, script.source, found.statement.start), list(_allowed(found))

    def of_words(self, *words: str) -> Place | None:
        """Return the last statement that has all of these names; ``None`` if none has them."""
        found = self._last(lambda part: all(_has_word(part.statement, word) for word in words))
        if found is None:
            return None
        return place_at(found.migration.path, found.migration.script.source, found.statement.start)

    def of_object(
        self, alternatives: Sequence[Sequence[str]], fallback: str
    ) -> tuple[Place, list[MigrationAllowance]] | None:
        """Return the place of an object, and the findings that are allowed above any statement about it.

        An alternative is words, or phrases of several words. The place is the last statement that has all of
        the first alternative that fits, else the name ``fallback``. ``None`` if there is none.
        """
        about: list[_Part] = []
        place: _Part | None = None
        for words in alternatives:
            fits = [part for part in self._parts if all(_has_phrase(part.statement, word) for word in words)]
            place = place or (fits[-1] if fits else None)
            about += fits
        place = place or self._last(lambda part: _has_word(part.statement, fallback))
        if place is None:
            return None
        script = place.migration.script
        allowed = [each for part in about for each in _allowed(part)]
        return place_at(place.migration.path, script.source, place.statement.start), allowed

    def allowances(self) -> Iterator[MigrationAllowance]:
        """Yield every ``allow:`` line of the folder that is above a statement."""
        for part in self._parts:
            yield from _allowed(part)

    def _last(self, fits: Callable[[_Part], bool]) -> _Part | None:
        return next((part for part in reversed(self._parts) if fits(part)), None)


def _makes(statement: Statement, schema: str, name: str, body: str) -> bool:
    found = _FUNCTION_HEAD.match(statement.text)
    if found is None:
        return False
    first, second = _folded(found[2]), _folded(found[3])
    if (second or first) != name or (second is not None and first != schema):
        return False
    if found[1].lower() == "alter":
        return bool(_SECURITY_WORDS.intersection(statement.words))
    return body in statement.text


def _mentions(statement: Statement, name: str) -> bool:
    text = statement.text.lower()
    return re.search(rf"(?<![\w$]){re.escape(name.lower())}(?![\w$])", text) is not None and bool(
        re.search(r"\bsecurity\s+definer\b", text)
    )


def _has_word(statement: Statement, word: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(word)}(?![\w$])", statement.text, re.IGNORECASE) is not None


def _has_phrase(statement: Statement, phrase: str) -> bool:
    """Return whether a statement has words one after the other; each may be quoted, or have a schema."""
    between = r'"?\s+(?:"?[\w$]+"?\s*\.\s*)?"?'
    words = between.join(re.escape(word) for word in phrase.split())
    return re.search(rf"(?<![\w$]){words}(?![\w$])", statement.text, re.IGNORECASE) is not None


def _folded(name: str | None) -> str | None:
    if name is None:
        return None
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _allowed(part: _Part) -> Iterator[MigrationAllowance]:
    source = part.migration.script.source
    for found in _ALLOW.finditer(source, part.begins, part.statement.start):
        yield MigrationAllowance(
            found[2], found[3] or "", place_at(part.migration.path, source, found.start(1))
        )
