"""The ``star`` finding: a star whose columns are those of the database, not of the file.

A row is built by position. ``c.*`` over a ``with`` item, or over a sub-select in ``from``, returns the same
columns after every migration if that query writes out each of its columns. A star that feeds no column of the
result is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import EntryKind, Scope, ungrouped
from plainsql.statements.scanner import Token, scan

__all__ = ["stars"]

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
"""PostgreSQL's reserved words, which are names only in quotes."""


def stars(examined: Examined) -> Iterator[Finding]:
    """Find the stars that decide which columns a statement returns."""
    if "*" in examined.places.text or _TABLE in examined.places.text.lower():
        yield from _Stars(examined).findings()


@dataclass(slots=True)
class _Star:
    """A star of the text, and what the tree has in its place."""

    start: int
    end: int
    written: str
    is_qualified: bool
    """One name, a dot, the star: ``c.*``."""
    columns: list[str] = field(default_factory=list)
    """The columns, as they would be written instead of the star."""
    sources: dict[str, None] = field(default_factory=dict)
    """The aliases that the columns come from, in order."""
    is_open: bool = False
    """True if a column comes from the database."""
    is_join: bool = False
    """True if the name is that of a join."""
    is_result: bool = False
    """True if a column of the statement's result comes from it."""

    def finding(self) -> Finding | None:
        """Return the finding of this star, or None."""
        hint = f"name them: {', '.join(self.columns)}"
        if self.is_open:
            if not self.is_result:
                return None
            message = "takes the columns that the database has when it runs: a migration changes the result"
        elif self.columns and (self.is_join or not self.is_qualified):
            message = "does not name the with item or sub-select whose columns it takes"
            if len(self.sources) == 1 and not self.is_join:
                hint = f"write {_quoted(*self.sources, alone=True)}.*"
        else:
            return None
        return Finding("star", f"{self.written} {message}", self.start + 1, hint)


class _Stars:
    """The stars of a statement's text, and the columns that come from them."""

    def __init__(self, examined: Examined) -> None:
        self._examined = examined
        self._scopes = examined.prover.scopes
        text = examined.places.text
        tokens = [token for token in scan(text, path="") if not token.kind.endswith("_comment")]
        self._stars = list(_written_stars(text, tokens))
        self._tables = [
            _Star(token.start, token.end, text[token.start : token.end], is_qualified=False)
            for token in tokens
            if text[token.start : token.end].lower() == _TABLE
        ]
        self._decided: dict[int, list[bool]] = {}
        """For each query, by its id: a flag for each column, true if it comes from the database."""

    def findings(self) -> Iterator[Finding]:
        for scope in self._arms(self._examined.scope):
            self._open_columns(scope)
            for entry in scope.query.outputs:
                star = self._star(entry.node("expr"), scope)
                if star is not None:
                    star.is_result = True
        for star in (*self._stars, *self._tables):
            finding = star.finding()
            if finding is not None:
                yield finding

    def _arms(self, scope: Scope) -> Iterator[Scope]:
        """Yield the arms of a union, intersect or except, however deep; otherwise the query itself."""
        operation = scope.query.set_operation()
        if operation is None:
            yield scope
            return
        for node in operation.walk():
            entry = scope.query.entry(node.number("rtindex")) if node.kind == "RANGETBLREF" else None
            arm = self._scopes.of_entry(entry, scope) if entry is not None else None
            if arm is not None:
                yield from self._arms(arm)

    def _open_columns(self, scope: Scope) -> list[bool]:
        """Decide for each column of a query whether it comes from the database."""
        query = scope.query
        if query.id not in self._decided:
            # A recursive query that reads itself gets no columns but those of its first arm.
            self._decided[query.id] = [False] * len(query.outputs)
            if query.set_operation() is None:
                columns = [self._is_open(entry, scope) for entry in query.outputs]
            else:
                columns = [
                    any(column) for column in zip(*map(self._open_columns, self._arms(scope)), strict=True)
                ]
            self._decided[query.id] = columns
        return self._decided[query.id]

    def _is_open(self, entry: Node, scope: Scope) -> bool:
        expression, name = entry.node("expr"), entry.text("resname") or ""
        if expression is None:
            return False
        values = _values(ungrouped(expression, scope), scope) or [expression]
        return True in [self._follow(each, name, scope) for each in values]

    def _follow(self, expression: Node, name: str, scope: Scope) -> bool:
        """Note a column of a star, and return whether it comes from the database."""
        star = self._star(expression, scope)
        if star is None:
            return False
        expression = ungrouped(expression, scope)
        star.columns.append(_column(expression, name, scope, star))
        home = scope.up(expression.number("varlevelsup"))
        if expression.kind != "VAR" or home is None:
            star.is_open = True
            return True
        named = home.query.entry(expression.number("varnosyn"))
        if named is not None:
            star.sources[named.alias] = None
            star.is_join |= named.kind is EntryKind.JOIN
        is_open = self._source_is_open(home, expression)
        star.is_open |= is_open
        return is_open

    def _source_is_open(self, home: Scope, variable: Node) -> bool:
        """Return true if a column exists only because a table, a view, a function or a type has it."""
        source, column = home.query.entry(variable.number("varno")), variable.number("varattno")
        if source is None:
            return True
        if source.kind is EntryKind.JOIN:
            aliases = source.node.items("joinaliasvars")
            alias = aliases[column - 1] if 0 < column <= len(aliases) else None
            joined = [part for part in alias.walk() if part.kind == "VAR"] if isinstance(alias, Node) else []
            return not joined or any(self._source_is_open(home, each) for each in joined)
        if source.kind is EntryKind.FUNCTION:
            # Written out as a column definition list: `as f (a int, b text)`.
            return not all(each.items("funccolnames") for each in source.node.nodes("functions"))
        if source.kind in (EntryKind.VALUES, EntryKind.TABLEFUNC, EntryKind.RESULT) or source.node.flag(
            "self_reference"
        ):
            return False
        inner = self._scopes.of_entry(source, home)
        if source.kind not in (EntryKind.SUBQUERY, EntryKind.CTE) or inner is None or column <= 0:
            return True
        columns = self._open_columns(inner)
        # After the last come those of `search` and `cycle`, which the statement names.
        return column <= len(columns) and columns[column - 1]

    def _star(self, expression: Node | None, scope: Scope) -> _Star | None:
        """Return the star that an expression of a select list comes from."""
        if expression is None:
            return None
        expression = ungrouped(expression, scope)
        # The star of any other expression is a product: `a * b`.
        if expression.kind not in ("VAR", "FIELDSELECT") or _values(expression, scope) is not None:
            return None
        offset = self._examined.places.of(expression) - 1
        if offset < 0:  # as of the columns of `table a`
            return self._tables[-1] if self._tables else None
        return next((star for star in self._stars if star.start <= offset < star.end), None)


def _values(expression: Node, scope: Scope) -> list[Node] | None:
    """Return the expressions of a column of `values`, one of each row; None for other columns."""
    source = scope.query.entry(expression.number("varno")) if expression.kind == "VAR" else None
    if source is None or source.kind is not EntryKind.VALUES or expression.number("varlevelsup"):
        return None
    column = expression.number("varattno") - 1
    rows = [row for row in source.node.items("values_lists") if isinstance(row, list)]
    return [each for row in rows for each in row[column : column + 1] if isinstance(each, Node)]


def _column(expression: Node, name: str, scope: Scope, star: _Star) -> str:
    """Return a column as it would be written instead of the star."""
    if star.written.endswith(".*"):
        return f"{star.written.removesuffix('*')}{_quoted(name)}"
    source = scope.query.entry(expression.number("varno"))
    if source is None or source.kind is EntryKind.JOIN or not source.alias:
        return _quoted(name, alone=True)
    return f"{_quoted(source.alias, alone=True)}.{_quoted(name)}"


def _written_stars(text: str, tokens: list[Token]) -> Iterator[_Star]:
    """Yield each `*` and `….*` that may be a list of columns."""
    for index, token in enumerate(tokens):
        if token.kind == "operator" and text[token.start : token.end] == "*":
            first = index
            while first >= 2 and tokens[first - 1].kind == "dot":
                first = _operand(text, tokens, first - 2)
            start = tokens[first].start
            is_qualified = first == index - 2
            yield _Star(start, token.end, text[start : token.end], is_qualified)


def _operand(text: str, tokens: list[Token], last: int) -> int:
    """Return the index of the first token of `a`, `(…)` or `(…)[…]`, from that of the last."""
    while tokens[last].kind == "close":
        last = _opening(tokens, last)
        if text[tokens[last].start] != "[":
            break
        last -= 1
    return max(last, 0)


def _opening(tokens: list[Token], closing: int) -> int:
    depth = 0
    for index in range(closing, -1, -1):
        depth += {"close": 1, "open": -1}.get(tokens[index].kind, 0)
        if not depth:
            return index
    return 0


def _quoted(name: str, *, alone: bool = False) -> str:
    """Return a name, in quotes if it needs them: after a dot, a reserved word needs none."""
    if _SIMPLE.fullmatch(name) and not (alone and name in _RESERVED):
        return name
    return '"' + name.replace('"', '""') + '"'
