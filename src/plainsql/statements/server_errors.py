"""An error of the server about a text, in the words of the file that the text was made from.

The author wrote ``:name``, the server says ``$1``. Some of its places and hints do not help an author who
writes names, or who brings a habit from another tool. An error that is not recognised stays as the server
sent it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from plainsql.errors import Place
from plainsql.statements.other_tools import foreign_placeholder
from plainsql.statements.scanner import Token, scan
from plainsql.statements.variants import Variant

__all__ = ["REFUSED_WHEN_READ", "Refusal", "refusal", "with_names"]

_INDETERMINATE, _AMBIGUOUS, _SYNTAX, _NO_OPERATOR = "42P18", "42P08", "42601", "42883"
REFUSED_WHEN_READ: Final = frozenset({_INDETERMINATE, _AMBIGUOUS, _SYNTAX})
"""The SQLSTATEs whose texts name parameters. Texts of others may quote a value that looks like one."""
# Syntax, a function or operator, a column: the errors that another tool's placeholder raises.
_UNKNOWN: Final = frozenset({_SYNTAX, _NO_OPERATOR, "42703"})
_PARAMETER: Final = re.compile(r"(?<=parameter )\$(\d+)|(?<=\")\$(\d+)(?=\")")
_OPERATOR: Final = re.compile(r"operator does not exist: (.+?) (\S+) (.+)")
_VERSUS: Final = re.compile(r"(.+) versus (.+)")
_TYPES: Final = frozenset(
    {
        *("bigint", "boolean", "bytea", "char", "date", "inet", "integer", "interval", "json", "jsonb"),
        *("numeric", "point", "smallint", "text", "time", "timestamp", "timestamptz", "timetz", "uuid"),
        *("varchar", "xml"),
    }
)
_BEFORE_TABLES: Final = frozenset({"from", "join", "into", "update", "table", "only"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server's reason to refuse a text, and the place in the file."""

    message: str
    place: Place
    detail: str | None
    hint: str | None


def refusal(
    variant: Variant,
    message: str,
    *,
    sqlstate: str | None = None,
    position: int | None = None,
    detail: str | None = None,
    hint: str | None = None,
) -> Refusal:
    """Return the server's error about a variant's text with names instead of numbers.

    ``position`` is the server's: 1-based, in characters of that text.
    """
    said = _Said(variant, message, sqlstate, position, detail or "")
    found = said.foreign() or said.parameter() or said.operator()
    start, own_hint = found or (position - 1 if position else None, None)
    place = variant.place(start + 1 if start is not None else 1)
    return Refusal(
        with_names(variant, message, sqlstate),
        place,
        said.clash() or (with_names(variant, detail, sqlstate) if detail else None),
        own_hint or hint,
    )


def with_names(variant: Variant, text: str, sqlstate: str | None) -> str:
    """Return a text of the server with ``:name`` for each ``$1`` in it that is a parameter."""

    def name(found: re.Match[str]) -> str:
        number = int(found[1] or found[2])
        return f":{variant.parameters[number - 1]}" if 0 < number <= len(variant.parameters) else found[0]

    if sqlstate not in REFUSED_WHEN_READ:
        return text
    return _PARAMETER.sub(name, text)


class _Said:
    """A refusal with the tokens of the text that it is about."""

    def __init__(
        self, variant: Variant, message: str, sqlstate: str | None, position: int | None, detail: str
    ) -> None:
        self.variant = variant
        self.message = message
        self.sqlstate = sqlstate
        self.detail = detail
        self.sql = variant.sql
        self.tokens = [
            token for token in scan(self.sql, path="") if token.kind not in ("line_comment", "block_comment")
        ]
        self.at = next((i for i, t in enumerate(self.tokens) if position and t.start == position - 1), None)

    def foreign(self) -> tuple[int, str] | None:
        """Return a placeholder of another tool, in a text that the server cannot read."""
        if self.sqlstate not in _UNKNOWN:
            return None
        return foreign_placeholder(self.sql, self.tokens)

    def parameter(self) -> tuple[int, str | None] | None:
        """Return the place of the parameter that a message is about, and a hint."""
        found = _PARAMETER.search(self.message)
        if found is None or self.sqlstate not in REFUSED_WHEN_READ:
            return None
        written = f"${found[1] or found[2]}"
        index = self.at
        if index is None or self._text(index) != written:
            index = next((i for i in range(len(self.tokens)) if self._text(i) == written), None)
        if index is None:
            return None
        name = with_names(self.variant, f'"{written}"', _SYNTAX).strip('":')
        if self.sqlstate == _SYNTAX:
            hint = self._misplaced(index, name)
        elif (types := _VERSUS.fullmatch(self.detail)) is not None:
            hint = f"cast it to one type in every place, for example :{name}::{types[1]}"
        else:
            hint = f"cast it: :{name}::text, or another type"
        return self.tokens[index].start, hint

    def operator(self) -> tuple[int, str] | None:
        """Return a missing operator: a parameter has another type than the author thinks."""
        found = _OPERATOR.match(self.message)
        if self.sqlstate != _NO_OPERATOR or found is None or self.at is None:
            return None
        index = self._beside(self.at)
        if index is None:
            return None
        wanted = found[1] if index > self.at else found[3]
        name = self._name(index)
        # The other side is a literal or another parameter, which has no type either.
        cast = "" if wanted == "unknown" else f"cast it here, :{name}::{wanted}, or "
        return self.tokens[self.at].start, f"{cast}give it a name of its own"

    def clash(self) -> str | None:
        """Return the place that gives the parameter next to an operator its type, if that is elsewhere."""
        if self.sqlstate != _NO_OPERATOR or self.at is None or (index := self._beside(self.at)) is None:
            return None
        first = next(i for i in range(len(self.tokens)) if self._text(i) == self._text(index))
        if first == index:
            return None
        return f":{self._name(index)} has its type from {self.variant.place(self.tokens[first].start + 1)}"

    def _beside(self, operator: int) -> int | None:
        """Return the parameter to the right or the left of an operator that has no cast of its own."""
        for index in (operator + 1, operator - 1):
            if not 0 <= index < len(self.tokens) or self.tokens[index].kind != "positional":
                continue
            if index + 1 < len(self.tokens) and self.tokens[index + 1].kind == "cast":
                continue
            return index
        return None

    def _misplaced(self, index: int, name: str) -> str | None:
        """Return the hint for a parameter in a place where the grammar takes no expression."""
        before = self._text(index - 1).lower() if index else ""
        if before == "in":
            negated = index > 1 and self._text(index - 2).lower() == "not"
            return f"write {'<> all' if negated else '= any'}(:{name}), and give a list"
        if before == "zone":
            kind = next((w for w in ("timestamp", "time") if w in map(self._text, range(index))), "time")
            with_zone = index > 1 and self._text(index - 3).lower() == "with"
            return f"write :{name}::{kind}{'tz' if with_zone else ''}"
        if before == "precision":
            return f"write :{name}::double precision"
        if before in _TYPES:
            return f"write :{name}::{before}, without {before} in front"
        if before in _BEFORE_TABLES or before == ".":
            return "write the name itself: PostgreSQL takes values as parameters, not names"
        if before == "as":
            return "write the name itself: a parameter is a value, not a name"
        if before == "values":
            return f"write (:{name}), with a parameter for each column"
        if self._in_order(index):
            return "write a line for each order, with --? order=… behind it"
        return None

    def _in_order(self, index: int) -> bool:
        """Report whether only names and commas are between ``order by`` and the token."""
        for i in range(index - 1, 0, -1):
            if self._text(i).lower() == "by":
                return self._text(i - 1).lower() == "order"
            if self.tokens[i].kind not in ("word", "quoted_name", "dot", "comma"):
                return False
        return False

    def _name(self, index: int) -> str:
        return self.variant.parameters[int(self._text(index)[1:]) - 1]

    def _text(self, index: int) -> str:
        token: Token = self.tokens[index]
        return self.sql[token.start : token.end]
