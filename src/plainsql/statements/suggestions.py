"""Suggested values for hints, which the parser accepts, and the names that tables and lists give to rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["RESERVED_ROW_NAMES", "returns_form", "row_name", "singular"]

RESERVED_ROW_NAMES: Final = frozenset(
    {
        *("None", "True", "False", "Exception"),
        *("Any", "Literal", "Struct", "UNSET", "UnsetType"),
        *("Database", "Executor", "Query", "Row", "Statement", "Transaction"),
    }
)
"""Names that have another meaning in a generated module."""

_KINDS: Final = ("one", "optional", "many")
_EXAMPLE: Final = "Lead"


def row_name(word: str) -> str:
    """Return the word as the name of a row: ``lead_notes``, LeadNotes; empty if it has no letter."""
    joined = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", word))
    joined = joined.lstrip("0123456789")
    joined = joined[:1].upper() + joined[1:]
    return "" if joined in RESERVED_ROW_NAMES else joined


def singular(name: str) -> str:
    """Return the English singular of a list's name: ``order_lines`` → ``order_line``.

    A name whose singular is not known stays as it is.
    """
    head, _, word = name.rpartition("_")
    head += "_" * bool(head)
    if word in _SINGULARS:
        return head + _SINGULARS[word]
    if len(word) < 3 or not word.endswith("s") or word.endswith(("ss", "us", "is", "news", "series")):
        return name
    if word.endswith("ies") and len(word) > 4:
        return f"{head}{word[:-3]}y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return head + word[:-2]
    return head + word[:-1]


_SINGULARS = {
    "addresses": "address",
    "children": "child",
    "men": "man",
    "people": "person",
    "statuses": "status",
    "women": "woman",
}


def returns_form(words: Sequence[str]) -> str:
    """Return the value of ``returns`` that is nearest to these words; the first one is a kind."""
    kind, rest = words[0].lower(), words[1:]
    if kind not in _KINDS:
        return kind
    what = rest[0] if rest else _EXAMPLE
    if what.lower() == "count":
        return "count"
    if what.lower() == "value":
        return "value" if kind == "one" else f"{kind} value"
    return f"{kind} {row_name(what) or _EXAMPLE}"
