"""The compilation of a body: of a query with its conditional lines, or of a copy."""

from __future__ import annotations

from contextlib import suppress

from plainsql.errors import SqlFileError
from plainsql.statements.optional_lines import Block, divide
from plainsql.statements.placeholders import find_placeholders
from plainsql.statements.scanner import Token, scan
from plainsql.statements.source import Source
from plainsql.statements.variants import Compiled

__all__ = ["compile_body"]


def compile_body(body: str, *, name: str, path: str, line: int = 1) -> Compiled:
    """Read one statement with ``:name`` parameters and conditional lines.

    Pure and quick (0.1 ms for 20 lines): generated modules keep the text as it was reviewed and compile it at
    the query's first call.

    Args:
        body: the statement, without the file's header; a closing semicolon and the text after it are dropped.
        name: the statement's name, put at the end of every text in a comment; empty for none.
        path: the file, for errors and places.
        line: the 1-based line of the file at which ``body`` begins.

    Raises:
        SqlFileError: the text is not one statement that plainsql can run.
    """
    source = Source(body, path, line)
    tokens = scan(body, path=path, line=line)
    placeholders, end = find_placeholders(source, tokens)
    if (first := _first_word(source, tokens)) is not None and first.lower() == "copy":
        # Few files copy. Another form than that of a file is refused by its kind, and by the drivers.
        from plainsql.statements.copy_statement import compile_copy

        with suppress(SqlFileError):
            return compile_copy(source, name, tokens, end)
    if "--?" in body:
        blocks = divide(source, tokens, placeholders, end)
    else:
        block = Block(0, end)
        block.placeholders = placeholders
        block.tail = tokens[-1].kind
        blocks = [block]
    return Compiled(source, name, placeholders, blocks, end)


def _first_word(source: Source, tokens: list[Token]) -> str | None:
    first = next((t for t in tokens if t.kind not in ("line_comment", "block_comment")), None)
    return None if first is None else source.text[first.start : first.end]
