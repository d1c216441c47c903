"""The hazards that comments in a migration allow, each with its reason.

::

    -- allow: create-index: the table has a hundred rows
    create index orders_due_idx on orders (due_at);
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final, NamedTuple

from plainsql.migrate.script import Script

__all__ = ["WrongAllowance", "allowances_of", "wrong_allowances"]

_ALLOW: Final = re.compile(
    r"^[ \t]*--[ \t]*allow[ \t]*:[ \t]*([a-z][a-z0-9-]*)[ \t]*:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE
)
_NEAR: Final = re.compile(
    r"(?P<before>^|;)[ \t]*--[ \t]*(?P<allow>allow)\b[ \t]*(?P<colon>:?)[ \t]*"
    r"(?P<name>[\w-]*)[ \t]*(?P<second>:?)[ \t]*(?P<reason>.*?)[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
"""A comment that is meant to allow a hazard, or prose that begins with the same word."""


class WrongAllowance(NamedTuple):
    """A comment that is meant to allow a hazard, and allows none."""

    start: int
    """0-based offset of its word ``allow`` in the source."""
    message: str
    hint: str


def allowances_of(script: Script) -> list[dict[str, str]]:
    """Return the hazards that are allowed for each statement of a script, by name, with their reasons.

    A comment counts for the statement below it. One without a reason allows nothing.
    """
    found, begins = [], 0
    for statement in script.statements:
        found.append({each[1]: each[2] for each in _ALLOW.finditer(script.source, begins, statement.start)})
        begins = statement.start + len(statement.text)
    return found


def wrong_allowances(script: Script, known: Collection[str]) -> Iterator[WrongAllowance]:
    """Yield the comments of a script that are meant to allow a hazard, and allow none.

    Args:
        script: the migration.
        known: the names that may be allowed in a migration.
    """
    begins = 0
    for statement in script.statements:
        for near in _NEAR.finditer(script.source, begins, statement.start):
            if (mistake := _mistake(near, known)) is not None:
                yield WrongAllowance(near.start("allow"), *mistake)
        begins = statement.start + len(statement.text)
    for near in _NEAR.finditer(script.source, begins):
        if near["before"] != ";" and _ALLOW.fullmatch(near[0].strip("\n")):
            yield WrongAllowance(near.start("allow"), "it allows nothing: no statement is below it", _MOVE)
        elif (mistake := _mistake(near, known)) is not None:
            yield WrongAllowance(near.start("allow"), *mistake)


_MOVE: Final = "write it on a line of its own above the statement"


def _mistake(near: re.Match[str], known: Collection[str]) -> tuple[str, str] | None:
    """Return the message and the hint; ``None`` for a right comment, and for prose."""
    name = near["name"].lower()
    close = get_close_matches(name, known, 1)
    if not near["colon"] and (name not in known or not near["second"]):
        return None
    if name not in known:
        if near["reason"] and not near["second"] and not ("-" in name and close):
            return None
        hint = f"did you mean {close[0]}?" if close else f"those of migrations are {', '.join(known)}"
        return f"there is no hazard {near['name']!r}", hint
    right = f"-- allow: {name}: the reason"
    if not near["reason"]:
        return f"the reason why {name} is allowed is missing", f"write {right}"
    if not (near["second"] and near["colon"] and near["allow"] == "allow" and near["name"] == name):
        return f"expected '{right}', got {near[0].lstrip(';').strip()!r}", f"write {right}"
    if near["before"] == ";":
        return "it allows nothing: it is after a statement", _MOVE
    return None
