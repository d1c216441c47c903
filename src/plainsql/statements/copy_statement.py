"""A copy into a table: ``copy shop.customers (name, email) from stdin``.

PostgreSQL does not prepare COPY and describes none of its columns. The text that is analysed is therefore the
equivalent insert of one row, whose parameters have the names of the columns::

    insert into shop.customers (name, email) overriding system value values ($1, $2)

COPY stores a value in an identity column that is generated always, and so does ``overriding system value``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from keyword import iskeyword
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements.optional_lines import Block
from plainsql.statements.scanner import Token, scan
from plainsql.statements.source import Source
from plainsql.statements.variants import Compiled, Variant

__all__ = ["CopyStatement", "compile_copy", "copy_error"]

_COMMENTS: Final = ("line_comment", "block_comment")
_FORM: Final = "write copy shop.customers (name, email) from stdin"


class CopyStatement(Compiled):
    """A compiled copy. Made by :func:`plainsql.statements.compile_body`."""

    __slots__ = ("columns", "span", "table")

    table: str
    """The table as ``copy_in`` takes it: ``shop.customers``."""
    columns: tuple[str, ...]
    span: tuple[int, int]
    """The offsets in the body of the table with its columns."""

    def variant(self, given: Iterable[str] = (), choices: Mapping[str, str | bool] | None = None) -> Variant:
        """Return the equivalent insert of one row."""
        return self.variants()[0]

    def _make_variants(self) -> tuple[Variant, ...]:
        return (_CopyVariant(self),)


class _CopyVariant(Variant):
    """The equivalent insert of a copy, with the places of the copy."""

    __slots__ = ()

    def __init__(self, compiled: CopyStatement) -> None:
        self._compiled = compiled
        self.given, self.choices = frozenset(), {}
        self.parameters = compiled.parameters
        text = compiled.body
        places = [compiled.offsets[name][0] for name in self.parameters]
        target, end = compiled.span
        parts = [("insert into ", target), (text[target:end], target)]
        parts.append((" overriding system value values (", target))
        for number, place in enumerate(places, 1):
            parts += [(f"${number}", place), (", " if number < len(places) else ")", place)]
        if compiled.name:
            parts.append((f" /* {compiled.name} */", target))
        self._outputs, self._origins = [], []
        size = 0
        for part, origin in parts:
            self._outputs.append(size)
            self._origins.append(origin)
            size += len(part)
        self.sql = "".join(part for part, _ in parts)

    def substituted(self, expressions: Mapping[str, str]) -> str:
        """Return the insert with another expression in the place of each value."""
        ends = [*self._outputs[1:], len(self.sql)]
        parts = [self.sql[start:end] for start, end in zip(self._outputs, ends, strict=True)]
        return "".join(
            expressions[self.parameters[int(part[1:]) - 1]] if part.startswith("$") else part
            for part in parts
        )


def compile_copy(source: Source, name: str, tokens: list[Token], end: int) -> CopyStatement:
    """Read a COPY.

    Raises:
        SqlFileError: it has another form than ``copy TABLE (COLUMNS) from stdin``.
    """
    reader = _Reader(source, [t for t in tokens if t.kind not in _COMMENTS and t.start < end])
    if any(token.kind == "line_comment" and source.text.startswith("--?", token.start) for token in tokens):
        raise reader.error(reader.tokens[0], "a copy has no optional lines", "remove --? from it")
    reader.next()
    table = reader.read_table()
    columns = reader.read_columns(table)
    span = reader.tokens[1].start, reader.last.end
    reader.read_source()
    block = Block(0, end)
    block.placeholders = [(token.start, token.end, column) for column, token in columns.items()]
    copy = CopyStatement(source, name, block.placeholders, [block], end)
    copy.table, copy.columns, copy.span = table, tuple(columns), span
    return copy


def copy_error(source: Source) -> SqlFileError | None:
    """Return the error of a COPY that has another form than that of a file."""
    tokens = scan(source.text, path=source.path, line=source.line)
    end = next((token.start for token in tokens if token.kind == "semicolon"), len(source.text))
    try:
        compile_copy(source, "", tokens, end)
    except SqlFileError as error:
        return error
    return None


class _Reader:
    """The tokens of a COPY, one after another."""

    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self.source = source
        self.tokens = tokens
        self._at = 0

    def text(self, token: Token) -> str:
        return self.source.text[token.start : token.end]

    def error(self, token: Token, message: str, hint: str) -> SqlFileError:
        return self.source.error(token.start, message, hint=hint)

    def next(self) -> Token:
        token = self.peek()
        self._at += 1
        return token

    @property
    def last(self) -> Token:
        """The token that was read last."""
        return self.tokens[min(self._at, len(self.tokens)) - 1]

    def peek(self) -> Token:
        """Return the next token; at the end, an empty one there."""
        if self._at < len(self.tokens):
            return self.tokens[self._at]
        return Token("semicolon", self.tokens[-1].end, self.tokens[-1].end)

    def read_table(self) -> str:
        if self.peek().kind == "open":
            raise self._copies_out()
        parts = [self._name("a table")]
        if self.peek().kind == "dot":
            self.next()
            parts.append(self._name("a table"))
        return ".".join(parts)

    def read_columns(self, table: str) -> dict[str, Token]:
        opened = self.next()
        if opened.kind != "open":
            if self.text(opened).lower() == "to":
                raise self._copies_out()
            raise self.error(
                opened if opened.end > opened.start else self.tokens[-1],
                "a copy names its columns",
                f"write copy {table} (…) from stdin: a column that the table gains then changes nothing",
            )
        columns: dict[str, Token] = {}
        while True:
            token = self.peek()
            column = self._name("a column")
            if column in columns:
                raise self.error(token, f"{column} is named twice", "name each column once")
            if not column.isidentifier() or iskeyword(column) or column.startswith("__"):
                raise self.error(
                    token,
                    f"{column!r} cannot be the name of a field in Python",
                    "copy into it with db.copy_in, which takes tuples",
                )
            columns[column] = token
            mark = self.next()
            if mark.kind == "close":
                return columns
            if mark.kind != "comma":
                raise self.error(mark, f"expected a comma, got {self.text(mark)!r}", _FORM)

    def read_source(self) -> None:
        word = self.next()
        if self.text(word).lower() == "to":
            raise self._copies_out()
        if self.text(word).lower() != "from":
            got = f", got {self.text(word)!r}" if self.text(word) else ""
            raise self.error(word, f"expected from stdin{got}", _FORM)
        word = self.next()
        if self.text(word).lower() != "stdin":
            raise self.error(
                word,
                "a query file copies from stdin only",
                "write from stdin, and pass the rows to the call: plainsql does not read files of the server",
            )
        rest = self.peek()
        if rest.end > rest.start:
            is_filter = self.text(rest).lower() == "where"
            raise self.error(
                rest,
                f"expected nothing after stdin, got {self.text(rest)!r}",
                "filter the rows in the program" if is_filter else "remove it: plainsql chooses the format",
            )

    def _name(self, what: str) -> str:
        token = self.next()
        text = self.text(token)
        if token.kind == "quoted_name" and text.startswith('"'):
            text = text[1:-1].replace('""', '"')
            if "." in text or not text:
                raise self.error(token, f"{text!r} cannot be the name of {what} here", "rename it")
            return text
        if token.kind != "word":
            raise self.error(
                token if token.end > token.start else self.tokens[-1],
                f"expected the name of {what}, got {text!r}" if text else f"expected the name of {what}",
                _FORM,
            )
        # As the server does: only ASCII letters are folded in every encoding.
        return "".join(c.lower() if c.isascii() else c for c in text)

    def _copies_out(self) -> SqlFileError:
        return self.error(
            self.tokens[0],
            "a query file cannot copy rows out",
            "write the query itself, and write its rows with db.copy_out",
        )
