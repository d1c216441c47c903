"""sqlc: ``-- name: GetUser :one``, parameters as ``$1``, ``@name`` and ``sqlc.arg(name)``."""

from __future__ import annotations

import re
from typing import Final

from plainsql.importers.blocks import Block, Mark, next_on_line
from plainsql.importers.edits import Edits
from plainsql.importers.inferred_names import inferred_names
from plainsql.importers.names import name_of_row
from plainsql.importers.query_file import Conversion, Parameters
from plainsql.importers.shape import always_returns_row, has_columns, is_single_column
from plainsql.statements import Token
from plainsql.statements.source import Source

__all__ = ["convert", "read_mark"]

_MARK: Final = re.compile(r"--[ \t]*name:[ \t]*([\w.-]+)[ \t]+(:\w+)[ \t]*")
_BLOCK_MARK: Final = re.compile(r"/\*[ \t\n]*name:[ \t]*([\w.-]+)[ \t]+(:\w+)[ \t\n]*\*/")
_AIOSQL: Final = re.compile(r"--[ \t]*name:[ \t]*([\w-]+)[ \t]*(\^|\$|<!|\*!|!|#)?[ \t]*")
_BATCHES: Final = {":batchexec": ":exec", ":batchmany": ":many", ":batchone": ":one"}
_COUNTS: Final = frozenset({":exec", ":execrows", ":execresult", ":copyfrom"})
_FUNCTIONS: Final = frozenset({"arg", "narg", "slice", "embed"})
# ``<@`` is an operator of PostgreSQL.
_BEFORE_AT: Final = frozenset({"", "=", "<=", ">=", "<>", "!=", "+", "-", "*", "/", "||"})


def read_mark(source: Source, token: Token) -> Mark | None:
    """Return the mark that a comment is, or None. Raises ``SqlFileError`` for the mark of aiosql."""
    for expression in (_MARK, _BLOCK_MARK):
        if found := next_on_line(source, token, expression):
            return Mark(found.start(1), found[1], found[2])
    if found := next_on_line(source, token, _AIOSQL):
        raise source.error(
            found.start(1),
            "the mark has no command of sqlc, expected for example :one, :many or :exec",
            hint=f"plainsql import aiosql {source.path}",
        )
    return None


def convert(block: Block) -> Conversion:
    """Convert a query. Raises ``SqlFileError`` for a part that has no form in plainsql."""
    edits = Edits()
    conversion = Conversion(block, _returns(block), edits)
    code = block.code
    calls = {index: found for index in range(len(code)) if (found := _call(block, code, index))}
    given = {name for _, name, _ in calls.values()}
    given |= {block.text(code[i + 1]) for i in range(len(code) - 1) if _at_name(block, code, i)}
    names = Parameters(given)
    positions = inferred_names(block)
    skipped = -1
    for index, token in enumerate(code):
        if index <= skipped:
            continue
        if index in calls:
            function, name, last = calls[index]
            if function == "embed":
                raise block.source.error(
                    token.start,
                    f"sqlc.embed({name}) is all columns of {name}, and the file does not name them",
                    hint=f'write its columns as {name}.id as "{name}.id", …',
                )
            parameter = names.name(name)
            if function == "narg":
                conversion.nullable.append(parameter)
            if function == "slice":
                _replace_slice(block, code, index, last, edits, parameter)
            else:
                edits.replace(token.start, code[last].end, f":{parameter}")
            skipped = last
        elif token.kind == "positional":
            key = block.text(token)
            edits.replace(token.start, token.end, f":{names.inferred(key, positions[key])}")
        elif _at_name(block, code, index):
            at = token.end - 1
            edits.replace(at, code[index + 1].end, f":{names.name(block.text(code[index + 1]))}")
    if block.mark.kind in _BATCHES or block.mark.kind == ":copyfrom":
        method = "execute_many" if conversion.returns == "count" else "batch"
        conversion.docs.append(f"Call its {method} with many sets of parameters.")
    return conversion


def _returns(block: Block) -> str:
    row = name_of_row("", block.mark.name)
    kind = _BATCHES.get(block.mark.kind, block.mark.kind)
    single = is_single_column(block)
    if kind == ":many":
        return "many value" if single else f"many {row}"
    if kind == ":one":
        if always_returns_row(block):
            return "value" if single else f"one {row}"
        return "optional value" if single else f"optional {row}"
    if kind not in _COUNTS:
        raise block.source.error(
            block.mark.offset,
            f"the command {kind} has no form in plainsql",
            hint="write returning and :one instead"
            if kind == ":execlastid"
            else "write :one, :many or :exec",
        )
    if not has_columns(block):
        return "count"
    return "many value" if single else f"many {row}"


def _call(block: Block, code: tuple[Token, ...], index: int) -> tuple[str, str, int] | None:
    """Return the function, the name and the last token's index of ``sqlc.arg(name)``, or None."""
    parts = code[index : index + 6]
    if [part.kind for part in parts[:4]] != ["word", "dot", "word", "open"] or block.word(parts[0]) != "sqlc":
        return None
    function = block.word(parts[2])
    kinds = [part.kind for part in parts[4:]]
    if function not in _FUNCTIONS or kinds not in (
        ["word", "close"],
        ["quoted_name", "close"],
        ["string", "close"],
    ):
        raise block.source.error(
            parts[0].start,
            f"sqlc.{function} cannot be read, expected sqlc.arg(name), narg, slice or embed",
            hint="write the parameter as @name",
        )
    return function, block.text(parts[4]).strip("'\""), index + 5


def _at_name(block: Block, code: tuple[Token, ...], index: int) -> bool:
    """Report whether ``@name`` begins at the end of this token."""
    token = code[index]
    if token.kind != "operator" or index + 1 >= len(code):
        return False
    sign, name = block.text(token), code[index + 1]
    return sign.endswith("@") and sign[:-1] in _BEFORE_AT and name.kind == "word" and name.start == token.end


def _replace_slice(
    block: Block, code: tuple[Token, ...], index: int, last: int, edits: Edits, parameter: str
) -> None:
    """Replace ``in (sqlc.slice(ids))`` by ``= any(:ids)``, and ``not in`` by ``<> all(:ids)``."""
    before = [block.word(token) for token in code[max(index - 3, 0) : index - 1]]
    closes = last + 1 < len(code) and code[last + 1].kind == "close"
    if before[-1:] != ["in"] or code[index - 1].kind != "open" or not closes:
        raise block.source.error(
            code[index].start,
            "sqlc.slice is not alone within in (…)",
            hint=f"write = any(:{parameter}) with an array",
        )
    negated = before[0] == "not"
    start = code[index - 3 if negated else index - 2].start
    edits.replace(start, code[last + 1].end, f"{'<> all' if negated else '= any'}(:{parameter})")
