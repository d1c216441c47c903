"""aiosql: ``-- name: get-user^``, ``-- record_class: User``, parameters as ``:name``."""

from __future__ import annotations

import re
from typing import Final

from plainsql.importers.blocks import Block, Mark, next_on_line
from plainsql.importers.edits import Edits
from plainsql.importers.names import name_of_row
from plainsql.importers.query_file import Conversion, Parameters
from plainsql.importers.shape import always_returns_row, has_columns, is_single_column
from plainsql.statements import Token
from plainsql.statements.other_tools import foreign_placeholder
from plainsql.statements.source import Source

__all__ = ["convert", "read_mark"]

_MARK: Final = re.compile(
    r"--[ \t]*name[ \t]*:[ \t]*([\w.-]+)[ \t]*(?:\([^)]*\))?[ \t]*(\^|\$|<!|\*!|!|#)?[ \t]*"
)
_SQLC: Final = re.compile(r"--[ \t]*name[ \t]*:[ \t]*([\w.-]+)[ \t]+(:\w+)\b.*")
_RECORD: Final = re.compile(r"[ \t]*record_class[ \t]*:[ \t]*([\w.]+)[ \t]*")


def read_mark(source: Source, token: Token) -> Mark | None:
    """Return the mark that a comment is, or None. Raises ``SqlFileError`` for the mark of sqlc."""
    if found := next_on_line(source, token, _MARK):
        return Mark(found.start(1), found[1], found[2] or "")
    if found := next_on_line(source, token, _SQLC):
        raise source.error(
            found.start(2),
            f"{found[2]} is a mark of sqlc, expected one of aiosql such as ^, $ or !",
            hint=f"plainsql import sqlc {source.path}",
        )
    return None


def convert(block: Block) -> Conversion:
    """Convert a query. Raises ``SqlFileError`` for a part that has no form in plainsql."""
    source, code = block.source, block.code
    text = source.text
    if (foreign := foreign_placeholder(text, code)) is not None:
        raise source.error(foreign[0], "a placeholder of the driver is in the text", hint=foreign[1])
    edits = Edits()
    names = Parameters(block.text(token)[1:] for token in code if token.kind == "parameter")
    for index, token in enumerate(code):
        if token.kind == "parameter":
            name, end = _with_attributes(block, code, index)
            edits.replace(token.start, end, f":{names.name(name)}")
        elif token.kind == "operator" and block.text(token) == "%%":  # psycopg's form of %
            edits.replace(token.start, token.end, "%")
    docs = [line for line in block.docs if not _RECORD.fullmatch(line)]
    record = next((found[1] for line in block.docs if (found := _RECORD.fullmatch(line))), "")
    plain = Block(source, block.mark, tuple(docs), block.tokens)
    return Conversion(plain, _returns(block, record.rpartition(".")[2]), edits)


def _with_attributes(block: Block, code: tuple[Token, ...], index: int) -> tuple[str, int]:
    """Return the name and the end of a parameter, with its attributes: ``user_name`` for ``:user.name``."""
    name, end = block.text(code[index])[1:], code[index].end
    for dot, word in zip(code[index + 1 :: 2], code[index + 2 :: 2], strict=False):
        if (dot.kind, word.kind) != ("dot", "word") or not end == dot.start == word.start - 1:
            break
        name, end = f"{name}_{block.text(word)}", word.end
    return name, end


def _returns(block: Block, record: str) -> str:
    row = name_of_row(record, block.mark.name)
    kind = block.mark.kind
    if kind == "$":
        return "optional value"
    if kind == "^":
        return f"optional {row}"
    if kind == "<!":
        what = "value" if is_single_column(block) and not record else row
        one = always_returns_row(block)
        return ("value" if what == "value" else f"one {row}") if one else f"optional {what}"
    if not has_columns(block):
        return "count"
    return "many value" if kind and is_single_column(block) else f"many {row}"
