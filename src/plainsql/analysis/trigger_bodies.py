"""What little a trigger function does: the ``new.updated_at := now(); return new;`` kind.

A PL/pgSQL body is not parsed. It is read token by token, and proved harmless only where it consists of
assignments to ``new``, ``if`` and ``return``, and calls nothing but functions listed here: then it touches
no table and leaves nothing in the session. Any other token ends the proof.
"""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.errors import SqlFileError
from plainsql.statements.scanner import Token, scan

__all__ = ["CALLS", "TriggerBody", "builtin_body", "read_body"]


@dataclass(frozen=True, slots=True)
class TriggerBody:
    """What a trigger function is proved to do to the row, and to nothing else."""

    changes: frozenset[str] | None
    """The columns of ``new`` that it assigns; ``None`` where they are not known."""
    drops: bool
    """Whether it may return null, and so leave the row out."""
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
    """The server's own trigger functions."""
    match name:
        case "suppress_redundant_updates_trigger":
            return TriggerBody(frozenset(), drops=True)
        case "tsvector_update_trigger" | "tsvector_update_trigger_column":
            return TriggerBody(None, drops=False)
        case _:
            pass
    return None


def read_body(source: str) -> TriggerBody | None:
    """Prove a PL/pgSQL trigger function harmless from its text; ``None`` where that fails."""
    try:
        tokens = [token for token in scan(source) if not token.kind.endswith("comment")]
    except SqlFileError:
        return None
    return _Reader(source, tokens).read()


class _Reader:
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
        self._drops = False

    def read(self) -> TriggerBody | None:
        words = self._words
        if not words or words[0] != "begin":
            return None
        i, open_ifs = 1, 0
        while i < len(words):
            match words[i]:
                case "end":
                    # `end if;` goes on; `end` or `end;` closes the body.
                    if words[i + 1 : i + 2] == ["if"]:
                        open_ifs -= 1
                        i += 2 + (words[i + 2 : i + 3] == [";"])
                        continue
                    closed = words[i + 1 :] in ([], [";"]) and not open_ifs
                    return (
                        TriggerBody(frozenset(self._changes), self._drops, frozenset(self._calls))
                        if closed
                        else None
                    )
                case "else":
                    i += 1
                case "if" | "elsif" | "elseif":
                    open_ifs += words[i] == "if"
                    i = self._expression(i + 1, "then")
                case "return":
                    if words[i + 1 : i + 2] not in (["new"], ["old"], ["null"]) or words[i + 2 : i + 3] != [
                        ";"
                    ]:
                        return None
                    self._drops = self._drops or words[i + 1] == "null"
                    i += 3
                case "new":
                    i = self._assignment(i)
                case _:
                    return None
            if i < 0:
                return None
        return None

    def _assignment(self, i: int) -> int:
        """Read `new.column := expression;` and return what follows, or -1."""
        words = self._words
        if words[i + 1 : i + 2] != ["."] or words[i + 3 : i + 4] not in ([":="], ["="]):
            return -1
        if self._tokens[i + 2].kind not in ("word", "quoted_name"):
            return -1
        self._changes.add(words[i + 2].strip('"').replace('""', '"'))
        return self._expression(i + 4, ";")

    def _expression(self, i: int, end: str) -> int:
        """Read an expression up to ``end`` and return what follows, or -1."""
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
                    if words[i + 1] not in _TYPES:
                        return -1
                    i += 1
                case "word":
                    if not self._word(i):
                        return -1
                    cases += (word == "case") - (word == "end")
                    if word in ("new", "old"):
                        # The dot and the column; a whole row is not followed further.
                        if words[i + 1 : i + 2] != ["."]:
                            return -1
                        i += 2
                case _:
                    return -1
            i += 1
        return -1

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
