"""The proved effects of simple trigger functions, such as ``new.updated_at := now(); return new;``.

A PL/pgSQL body is not parsed. It is read token by token, and proved harmless only if it consists of
assignments to ``new``, ``if`` and ``return``, and calls nothing but functions listed here. Then it touches no
table and leaves nothing in the session. Any other token ends the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements.scanner import Token, scan

__all__ = ["CALLS", "EVENTS", "TriggerBody", "builtin_body", "read_body"]


EVENTS: Final = frozenset({"insert", "update", "delete"})


@dataclass(frozen=True, slots=True)
class TriggerBody:
    """The proved effects of a trigger function on the row; it has no other effects."""

    changes: frozenset[str] | None
    """The columns of ``new`` that it assigns; ``None`` if they are not known."""
    drops: frozenset[str] = frozenset()
    """The events whose row it may drop: it returns null, or a row that the event does not have."""
    keeps_old: bool = False
    """True if it may return ``old`` for an update: any assigned column then keeps its old value."""
    calls: frozenset[str] = frozenset()
    """The functions that it calls by name."""


CALLS = frozenset(
    [
        "now",
        "clock_timestamp",
        "statement_timestamp",
        "transaction_timestamp",
        "coalesce",
        "nullif",
        "greatest",
        "least",
        "lower",
        "upper",
        "btrim",
        "trim",
        "length",
        "replace",
        "concat",
        "left",
        "right",
        "round",
        "abs",
        "date_trunc",
        "gen_random_uuid",
        "to_tsvector",
        "setweight",
        "jsonb_build_object",
    ]
)
_VALUES = frozenset(
    ["current_timestamp", "current_date", "localtimestamp", "current_user", "session_user", "tg_op"]
)
_WORDS = frozenset(
    [
        "new",
        "old",
        "null",
        "true",
        "false",
        "is",
        "not",
        "distinct",
        "from",
        "and",
        "or",
        "in",
        "case",
        "when",
        "then",
        "else",
        "end",
        "between",
        "like",
        "ilike",
    ]
)
_TYPES = frozenset(
    [
        "text",
        "integer",
        "int",
        "bigint",
        "smallint",
        "boolean",
        "numeric",
        "date",
        "timestamp",
        "timestamptz",
        "uuid",
        "jsonb",
        "regconfig",
    ]
)


def builtin_body(name: str) -> TriggerBody | None:
    """Return the effects of one of the server's own trigger functions."""
    match name:
        case "suppress_redundant_updates_trigger":
            return TriggerBody(frozenset(), drops=frozenset({"update"}))
        case "tsvector_update_trigger" | "tsvector_update_trigger_column":
            return TriggerBody(None)
        case _:
            pass
    return None


def read_body(source: str) -> TriggerBody | None:
    """Prove a PL/pgSQL trigger function harmless from its text; return ``None`` if that fails."""
    try:
        tokens = [token for token in scan(source) if not token.kind.endswith("comment")]
    except SqlFileError:
        return None
    return _BodyParser(source, tokens).read()


class _NotUnderstoodError(Exception):
    """A token that ends the proof."""


class _BodyParser:
    def __init__(self, source: str, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._words = [
            source[token.start : token.end].lower()
            if token.kind == "word"
            else source[token.start : token.end]
            for token in tokens
        ]
        self._changes: set[str] = set()
        self._calls: set[str] = set()
        self._drops: set[str] = set()
        self._keeps_old = False

    def read(self) -> TriggerBody | None:
        if self._words[:1] != ["begin"]:
            return None
        try:
            i, _ = self._statements(1, EVENTS)
        except _NotUnderstoodError:
            return None
        if self._words[i:] not in (["end"], ["end", ";"]):
            return None
        return TriggerBody(
            frozenset(self._changes), frozenset(self._drops), self._keeps_old, frozenset(self._calls)
        )

    def _statements(self, i: int, events: frozenset[str]) -> tuple[int, frozenset[str]]:
        """Read statements that run for these events; return the next token and the events that get there."""
        while True:
            match self._word_at(i):
                case "if":
                    i, events = self._if(i, events)
                case "return":
                    i = self._return(i, events)
                    events = frozenset()
                case "new":
                    i = self._assignment(i)
                case _:
                    return i, events

    def _if(self, i: int, events: frozenset[str]) -> tuple[int, frozenset[str]]:
        through: frozenset[str] = frozenset()
        while self._word_at(i) in ("if", "elsif", "elseif"):
            holds = self._tested_events(i + 1)
            i, after = self._statements(
                self._expression(i + 1, "then"), events if holds is None else events & holds
            )
            through |= after
            events = events if holds is None else events - holds
        if self._word_at(i) == "else":
            i, events = self._statements(i + 1, events)
        return self._expect(i, "end", "if", ";"), through | events

    def _tested_events(self, i: int) -> frozenset[str] | None:
        """Return the events for which `tg_op = 'INSERT'` holds; ``None`` for any other condition."""
        match self._words[i : i + 4]:
            case ["tg_op", "=", literal, "then"] if (name := literal.strip("'").lower()) in EVENTS:
                return frozenset({name}) if literal == f"'{name.upper()}'" else None
            case _:
                pass
        return None

    def _return(self, i: int, events: frozenset[str]) -> int:
        match self._word_at(i + 1):
            case "new":
                # A deleted row has no new version, and an inserted row no old one: that is null.
                self._drops |= events & {"delete"}
            case "old":
                self._drops |= events & {"insert"}
                self._keeps_old = self._keeps_old or "update" in events
            case "null":
                self._drops |= events
            case _:
                raise _NotUnderstoodError
        return self._expect(i + 2, ";")

    def _word_at(self, i: int) -> str:
        return self._words[i] if i < len(self._words) else ""

    def _expect(self, i: int, *words: str) -> int:
        if self._words[i : i + len(words)] != list(words):
            raise _NotUnderstoodError
        return i + len(words)

    def _assignment(self, i: int) -> int:
        """Read `new.column := expression;` and return the next token."""
        words = self._words
        if words[i + 1 : i + 2] != ["."] or words[i + 3 : i + 4] not in ([":="], ["="]):
            raise _NotUnderstoodError
        if self._tokens[i + 2].kind not in ("word", "quoted_name"):
            raise _NotUnderstoodError
        # The database's encoding folds letters outside of ASCII, or nothing does.
        if self._tokens[i + 2].kind == "word" and not words[i + 2].isascii():
            raise _NotUnderstoodError
        self._changes.add(words[i + 2].strip('"').replace('""', '"'))
        return self._expression(i + 4, ";")

    def _expression(self, i: int, end: str) -> int:
        """Read an expression up to ``end`` and return the next token."""
        words, depth, cases = self._words, 0, 0
        while i < len(words):
            word, token = words[i], self._tokens[i]
            if word == end and depth == 0 and cases == 0:
                return i + 1
            match token.kind:
                case "open":
                    depth += 1
                case "close":
                    depth -= 1
                case "string" | "number" | "operator" | "comma":
                    pass
                case "cast":
                    if self._word_at(i + 1) not in _TYPES:
                        raise _NotUnderstoodError
                    i += 1
                case "word":
                    if not self._word(i):
                        raise _NotUnderstoodError
                    cases += (word == "case") - (word == "end")
                    if word in ("new", "old"):
                        # Skip the dot and the column; a whole row is not followed further.
                        if words[i + 1 : i + 2] != ["."]:
                            raise _NotUnderstoodError
                        i += 2
                case _:
                    raise _NotUnderstoodError
            i += 1
        raise _NotUnderstoodError

    def _word(self, i: int) -> bool:
        word = self._words[i]
        if word == "from":
            return self._words[i - 1] == "distinct"
        if self._words[i + 1 : i + 2] == ["("]:
            if word in ("in", "and", "or", "not", "when", "then", "else", "case", "like", "ilike", "between"):
                return True
            self._calls.add(word)
            return word in CALLS
        return word in _WORDS or word in _VALUES
