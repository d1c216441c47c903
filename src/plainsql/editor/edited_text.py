"""A SQL file while it is written: the word at an offset, the tables in scope, the part that a place is in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from plainsql.errors import SqlFileError
from plainsql.statements import Token, scan

__all__ = ["EditedText", "HeaderLine", "Word"]

_HEADER_KEY: Final = re.compile(r"--[ \t]*(?P<key>\w*)(?:[ \t]+(?P<name>[\w.\"]*))?(?P<colon>[ \t]*:)?")
_BEFORE_TABLE: Final = frozenset({"from", "join", "into", "update", "using", "only", "table"})
_NO_ALIAS: Final = frozenset(
    {
        *("as", "on", "using", "where", "set", "values", "select", "left", "right", "inner", "full", "cross"),
        *("join", "natural", "group", "order", "limit", "offset", "union", "intersect", "except", "having"),
        *("returning", "for", "fetch", "window", "lateral", "default", "overriding", "when", "tablesample"),
    }
)
_LAST_WORD: Final = re.compile(r'(?P<qualifier>(?:[\w$]+|"[^"]+")\.)?(?P<start>[\w$]*)$')


@dataclass(frozen=True, slots=True)
class Word:
    """A name at a place, with the name before its dot."""

    text: str
    qualifier: str
    start: int
    """The offset of the name itself."""
    end: int
    begin: int
    """The offset of the qualifier, or of the name without one."""
    kind: Literal["name", "parameter"] = "name"


@dataclass(frozen=True, slots=True)
class HeaderLine:
    """A line of comment at the top of a file, up to an offset."""

    before: str
    key: str
    has_colon: bool


class EditedText:
    """The text of a SQL file."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens; those up to the error, if the text has one: it is being written."""
        text = self.text
        while text:
            try:
                return tuple(token for token in scan(text) if not token.kind.endswith("_comment"))
            except SqlFileError as error:
                if error.place is None or not error.place.line:
                    break
                lines = text.split("\n")[: error.place.line]
                text = "\n".join([*lines[:-1], lines[-1][: max(error.place.column - 1, 0)]])
                if len(text) >= len(self.text):
                    break
        return ()

    def at(self, token: Token) -> str:
        """Return the text of a token."""
        return self.text[token.start : token.end]

    @property
    def header_end(self) -> int:
        """The offset of the first line that is no comment."""
        end = 0
        for line in self.text.splitlines(keepends=True):
            if line.strip() and not line.startswith("--"):
                break
            end += len(line)
        return end

    def header_line(self, offset: int) -> HeaderLine | None:
        """Return the line of the header that an offset is in; ``None`` below the header."""
        begin = self.text.rfind("\n", 0, offset) + 1
        before = self.text[begin:offset]
        if begin >= self.header_end or not before.startswith("--"):
            return None
        found = _HEADER_KEY.match(before)
        return HeaderLine(before, found["key"] if found else "", bool(found and found["colon"]))

    def word(self, offset: int) -> Word | None:
        """Return the name or the parameter at an offset, its end included."""
        tokens = self.tokens
        for i, token in enumerate(tokens):
            if token.start <= offset <= token.end and token.kind in ("word", "quoted_name", "parameter"):
                if token.kind == "parameter":
                    return Word(self.at(token)[1:], "", token.start, token.end, token.start, "parameter")
                if token.end == offset and i + 1 < len(tokens) and tokens[i + 1].start == offset:
                    following = tokens[i + 1].kind
                    if following in ("word", "quoted_name", "parameter"):
                        continue
                qualifier = begin = None
                if i > 1 and tokens[i - 1].kind == "dot" and tokens[i - 2].kind in ("word", "quoted_name"):
                    qualifier, begin = plain(self.at(tokens[i - 2])), tokens[i - 2].start
                return Word(
                    plain(self.at(token)),
                    qualifier or "",
                    token.start,
                    token.end,
                    token.start if begin is None else begin,
                )
        return None

    def typed(self, offset: int) -> tuple[str, str, str]:
        """Return the qualifier, the beginning of the name, and the word before both, at an offset."""
        before = self.text[:offset]
        found = _LAST_WORD.search(before)
        assert found is not None  # it matches nothing, too
        rest = before[: found.start()].rstrip()
        previous = re.search(r"[\w$]+$|[^\w\s]$", rest)
        return (
            plain((found["qualifier"] or "").rstrip(".")),
            found["start"],
            previous[0].lower() if previous else "",
        )

    @cached_property
    def tables(self) -> dict[str, str]:
        """The tables by the names that they have in the statement: ``{"l": "realty.leads"}``."""
        return dict(self._tables())

    def _tables(self) -> Iterator[tuple[str, str]]:
        tokens = self.tokens
        i = 0
        while i < len(tokens):
            if tokens[i].kind != "word" or self.at(tokens[i]).lower() not in _BEFORE_TABLE:
                i += 1
                continue
            i += 1
            while i < len(tokens):
                while i < len(tokens) and self.at(tokens[i]).lower() in ("only", "lateral"):
                    i += 1
                if i >= len(tokens) or tokens[i].kind not in ("word", "quoted_name"):
                    break
                name = plain(self.at(tokens[i]))
                i += 1
                if i + 1 < len(tokens) and tokens[i].kind == "dot":
                    name += f".{plain(self.at(tokens[i + 1]))}"
                    i += 2
                alias = name.rpartition(".")[2]
                if i < len(tokens) and self.at(tokens[i]).lower() == "as":
                    i += 1
                if i < len(tokens) and tokens[i].kind in ("word", "quoted_name"):
                    following = self.at(tokens[i])
                    if following.lower() not in _NO_ALIAS:
                        alias = plain(following)
                        i += 1
                yield alias, name
                if i < len(tokens) and tokens[i].kind == "comma":
                    i += 1
                    continue
                break

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters, in the order of their first places."""
        return list(dict.fromkeys(self.at(t)[1:] for t in self.tokens if t.kind == "parameter"))

    @cached_property
    def with_items(self) -> list[str]:
        """The names of the ``with`` items."""
        tokens = self.tokens
        found = []
        for i, token in enumerate(tokens[:-2]):
            if token.kind != "word" or tokens[i + 1].kind != "word":
                continue
            before = self.at(tokens[i - 1]).lower() if i else ""
            opens = tokens[i + 2].kind == "open" or self.at(tokens[i + 2]).lower() in ("materialized", "not")
            if self.at(tokens[i + 1]).lower() == "as" and opens and before in ("with", "recursive", ","):
                found.append(self.at(token))
        return found


def plain(name: str) -> str:
    """Return a name as the catalog has it."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
