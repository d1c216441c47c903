"""The comparison of the author's ``Lock:`` comment with the traced locks.

The comment is at the top of a migration::

    -- Lock: share row exclusive on shop.orders and shop.products for the foreign keys.
    -- Lock: none on existing tables.

It is prose: only its modes, its names of tables and its counts of tables are read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from plainsql.migrate.script import Script, place_at
from plainsql.migrate.trace.model import MODES, LockComment, RelationLock

__all__ = ["compare_comment"]

_START: Final = re.compile(r"^--[ \t]*Lock:[ \t]*", re.MULTILINE)
_END: Final = re.compile(r"\n(?!--)|\n--[ \t]*(?:\n|[A-Z]\w*:|Undone\b)|(?<=[.;])\s+(?:Time|Duration):|\Z")
_MODE: Final = re.compile(rf"\b(?:{'|'.join(sorted(MODES, key=len, reverse=True))}|none|no locks?)\b")
_COUNTS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_COUNT: Final = re.compile(rf"\b({'|'.join(_COUNTS)}|\d+)\s+tables\b")
_BLOCKING: Final = "share"


def compare_comment(
    script: Script, locks: Iterable[RelationLock], tables: Collection[str]
) -> LockComment | None:
    """Return the ``Lock:`` comment of a script with its contradictions; ``None`` without a comment.

    Args:
        script: the migration.
        locks: the strongest traced lock on each relation that existed before.
        tables: the names of the tables and views that existed before.
    """
    first = script.statements[0].start if script.statements else len(script.source)
    start = _START.search(script.source, 0, first)
    if start is None:
        return None
    end = _END.search(script.source, start.end(), first)
    text = script.source[start.end() : end.start() if end else first]
    text = " ".join(text.replace("\n--", " ").split())
    taken = {
        lock.relation: lock.mode
        for lock in locks
        if lock.kind not in ("index", "sequence") and MODES.index(lock.mode) >= MODES.index(_BLOCKING)
    }
    line = place_at("", script.source, start.start()).line
    return LockComment(text=text, line=line, contradictions=tuple(_contradictions(text, taken, tables)))


def _contradictions(text: str, taken: dict[str, str], tables: Collection[str]) -> Iterator[str]:
    parts = list(_MODE.finditer(text))
    if not parts:
        return
    if parts[0].group().startswith("no"):
        if taken:
            yield f"it says {parts[0].group()}, and the trace has {_listed(taken)}"
        return
    said: dict[str, str] = {}
    counted = False
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        about = text[part.end() : following.start() if following else len(text)]
        for table in sorted(tables, key=len, reverse=True):
            if _names(about, table) and table not in said:
                said[table] = part.group()
        if count := _COUNT.search(about):
            counted = True
            number = int(count[1]) if count[1].isdecimal() else _COUNTS.index(count[1])
            found = [table for table, mode in taken.items() if mode == part.group()]
            if len(found) != number:
                names = f": {', '.join(sorted(found))}" if found else ""
                said_here = f"it says {part.group()} on {count[1]} tables"
                yield f"{said_here}, and the trace has it on {len(found)}{names}"
    for table, mode in said.items():
        if table not in taken:
            yield f"it says {mode} on {table}, and the trace has no such lock there"
        elif taken[table] != mode:
            yield f"it says {mode} on {table}, and the trace has {taken[table]}"
    missing = {table: mode for table, mode in taken.items() if table not in said}
    if missing and not counted:
        yield f"it does not name {_listed(missing)}"


def _names(text: str, table: str) -> bool:
    """Return whether a text names a table, with its schema or, in ``public``, without."""
    forms = [re.escape(table)]
    if table.startswith("public."):
        forms.append(re.escape(table.removeprefix("public.")))
    return re.search(rf"(?<![\w.])(?:{'|'.join(forms)})(?![\w.]*\w)", text) is not None


def _listed(locks: dict[str, str]) -> str:
    return ", ".join(f"{mode} on {table}" for table, mode in sorted(locks.items()))
