"""Results whose columns the file does not name: `select *` over a table, of whatever columns it has then.

A row is built by position. A star over what names its columns itself, a `with` item or a sub-select, gives
the columns that stand in the file, and is left alone; so is any star that feeds no column of the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.output_positions import OutputPositions
from plainsql.analysis.tree.query_tree import EntryKind, RangeTableEntry, Scope, ungrouped
from plainsql.statements.scanner import Token

__all__ = ["stars"]

_Span = tuple[int, int]

_TABLE: Final = "table"
"""`table a` is `select * from a`."""
_SIMPLE: Final = re.compile(r"[a-z_][a-z0-9_$]*")
_RESERVED: Final = frozenset(
    {
        *("all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric"),
        *("authorization", "binary", "both", "case", "cast", "check", "collate", "collation"),
        *("column", "concurrently", "constraint", "create", "cross", "current_catalog"),
        *("current_date", "current_role", "current_schema", "current_time", "current_timestamp"),
        *("current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except"),
        *("false", "fetch", "for", "foreign", "freeze", "from", "full", "grant", "group", "having"),
        *("ilike", "in", "initially", "inner", "intersect", "into", "is", "isnull", "join", "lateral"),
        *("leading", "left", "like", "limit", "localtime", "localtimestamp", "natural", "not"),
        *("notnull", "null", "offset", "on", "only", "or", "order", "outer", "overlaps", "placing"),
        *("primary", "references", "returning", "right", "select", "session_user", "similar", "some"),
        *("symmetric", "system_user", "table", "tablesample", "then", "to", "trailing", "true"),
        *("union", "unique", "user", "using", "variadic", "verbose", "when", "where", "window", "with"),
    }
)
"""Words that are no names of PostgreSQL unless they are quoted."""


def stars(examined: Examined) -> Iterator[Finding]:
    """The stars that decide which columns a statement returns."""
    if "*" in examined.places.text or _TABLE in examined.places.text.lower():
        yield from _Stars(examined).findings()


class _Stars:
    """The stars of a statement's text, and the columns that come from them."""

    def __init__(self, examined: Examined) -> None:
        self._examined = examined
        self._text = examined.places.text
        self._outputs = OutputPositions(self._text, examined.scope)
        tokens = self._outputs.tokens
        self._spans = list(_spans(self._text, tokens))
        self._tables = [
            (token.start, token.end) for token in tokens if self._written((token.start, token.end)) == _TABLE
        ]

    def findings(self) -> Iterator[Finding]:
        scope = self._examined.scope
        columns: dict[_Span, list[str]] = {}
        open_spans: set[_Span] = set()
        for entry in scope.query.outputs:
            span = self._span(entry, scope)
            if span is not None:
                columns.setdefault(span, []).append(self._column(entry, scope, self._text[slice(*span)]))
                if self._is_open(entry, scope, frozenset()):
                    open_spans.add(span)
        for span in sorted(open_spans):
            yield Finding(
                "star",
                f"{self._text[slice(*span)]} is every column that is there when it runs: a migration changes "
                "the result",
                span[0] + 1,
                f"name them: {', '.join(columns[span])}",
            )

    def _written(self, span: _Span) -> str:
        return self._text[slice(*span)].lower()

    def _span(self, entry: Node, scope: Scope) -> _Span | None:
        """The star that a column of a result comes from."""
        expression = entry.node("expr")
        # Others are a product: `a * b`.
        if expression is None or ungrouped(expression, scope).kind not in ("VAR", "FIELDSELECT"):
            return None
        outputs = self._outputs if scope is self._examined.scope else OutputPositions(self._text, scope)
        offset = outputs.offset(entry)
        if offset < 0:  # as of the columns of `table a`
            return self._tables[-1] if self._tables else None
        return next((span for span in self._spans if span[0] <= offset < span[1]), None)

    def _is_open(self, entry: Node, scope: Scope, seen: frozenset[int]) -> bool:
        """Whether a column is there because a table, a view, a function or a type has it."""
        expression = entry.node("expr")
        if expression is None or self._span(entry, scope) is None or scope.query.id in seen:
            return False
        expression = ungrouped(expression, scope)
        home = scope.up(expression.number("varlevelsup"))
        if expression.kind == "FIELDSELECT" or home is None:
            return True
        source, column = _source(home, expression)
        if source is None:
            return True
        if source.kind is EntryKind.FUNCTION:
            return _is_open_function(source)
        if source.kind in (EntryKind.VALUES, EntryKind.TABLEFUNC, EntryKind.RESULT) or source.node.flag(
            "self_reference"
        ):
            return False
        inner = self._examined.prover.scopes.of_entry(source, home)
        if source.kind not in (EntryKind.SUBQUERY, EntryKind.CTE) or inner is None:
            return True
        outputs = inner.query.outputs
        return not 0 < column <= len(outputs) or self._is_open(
            outputs[column - 1], inner, seen | {scope.query.id}
        )

    def _column(self, entry: Node, scope: Scope, written: str) -> str:
        """A column as it is to be written instead of the star."""
        name = entry.text("resname") or ""
        if written.endswith(".*"):
            return f"{written.removesuffix('*')}{_quoted(name)}"
        expression = ungrouped(entry.node("expr") or entry, scope)
        source = scope.query.entry(expression.number("varno"))
        if (
            source is not None
            and source.kind is EntryKind.SUBQUERY
            and scope.query.set_operation() is not None
        ):
            inner = self._examined.prover.scopes.of_entry(source, scope)
            if inner is not None:  # the first part of a union
                return self._column(inner.query.outputs[expression.number("varattno") - 1], inner, written)
        if source is None or source.kind is EntryKind.JOIN or not source.alias:
            return _quoted(name, alone=True)
        return f"{_quoted(source.alias, alone=True)}.{_quoted(name)}"


def _spans(text: str, tokens: list[Token]) -> Iterator[_Span]:
    """Begin and end of each `*` and `….*` that may stand for columns."""
    for index, token in enumerate(tokens):
        if token.kind == "operator" and text[token.start : token.end] == "*":
            first = index
            while first >= 2 and tokens[first - 1].kind == "dot":
                first -= 2
                if tokens[first].kind == "close":
                    first = _opening(tokens, first)
            yield tokens[first].start, token.end


def _opening(tokens: list[Token], closing: int) -> int:
    depth = 0
    for index in range(closing, -1, -1):
        depth += {"close": 1, "open": -1}.get(tokens[index].kind, 0)
        if not depth:
            return index
    return 0


def _source(home: Scope, variable: Node) -> tuple[RangeTableEntry | None, int]:
    """The entry of `from` that a variable is a column of, seen through joins, and the column's number."""
    while True:
        column = variable.number("varattno")
        source = home.query.entry(variable.number("varno"))
        if source is None or source.kind is not EntryKind.JOIN:
            return source, column
        aliases = source.node.items("joinaliasvars")
        alias = aliases[column - 1] if 0 < column <= len(aliases) else None
        inner = [part for part in alias.walk() if part.kind == "VAR"] if isinstance(alias, Node) else []
        if not inner:
            return None, 0
        variable = inner[0]


def _is_open_function(source: RangeTableEntry) -> bool:
    """Whether a function in `from` says itself which columns it has, and has several."""
    return any(
        each.number("funccolcount") > 1 and not each.items("funccolnames")
        for each in source.node.nodes("functions")
    )


def _quoted(name: str, *, alone: bool = False) -> str:
    """A name in quotes, if it needs them: behind a dot, a reserved word needs none."""
    if _SIMPLE.fullmatch(name) and not (alone and name in _RESERVED):
        return name
    return '"' + name.replace('"', '""') + '"'
