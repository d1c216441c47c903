"""pgtyped: ``/* @name GetUser @param ids -> (...) */``, parameters as ``:name`` and ``:name!``."""

from __future__ import annotations

import re
from typing import Final

from plainsql.importers.blocks import Block, Mark
from plainsql.importers.edits import Edits
from plainsql.importers.names import name_of_row
from plainsql.importers.query_file import Conversion, Parameters
from plainsql.importers.shape import has_columns
from plainsql.statements import Token
from plainsql.statements.source import Source

__all__ = ["convert", "read_mark"]

_NAME: Final = re.compile(r"@name[ \t]+([A-Za-z_]\w*)")
_PARAM: Final = re.compile(r"@param\s+(\w+)\s*->\s*(\(\s*(?:\.\.\.|\([^()]*\)\s*\.\.\.|[^().]*)\s*\))")
_KEY: Final = re.compile(r"\w+")


def read_mark(source: Source, token: Token) -> Mark | None:
    """Return the mark that a comment is, or None."""
    if token.kind != "block_comment":
        return None
    name = _NAME.search(source.text, token.start, token.end)
    if name is None:
        return None
    lists = []
    for found in _PARAM.finditer(source.text, token.start, token.end):
        form = re.sub(r"\s", "", found[2])
        keys = tuple(_KEY.findall(form))
        lists.append((found[1], keys or None, form.endswith("...)")))
    comment = _PARAM.sub("", _NAME.sub("", source.text[token.start + 2 : token.end - 2], count=1))
    lines = [re.sub(r"^\s*\*+ ?", "", line).strip() for line in comment.split("\n")]
    docs = [line for line in lines if line]
    return Mark(name.start(1), name[1], "", docs=tuple(docs), lists=tuple(lists))


def convert(block: Block) -> Conversion:
    """Convert a query. Raises ``SqlFileError`` for a part that has no form in plainsql."""
    edits = Edits()
    code = block.code
    lists = {name: (keys, repeated) for name, keys, repeated in block.mark.lists}
    single = [block.text(token)[1:] for token in code if token.kind == "parameter"]
    names = Parameters(name for name in single if name not in lists)
    returns = f"many {name_of_row('', block.mark.name)}" if has_columns(block) else "count"
    conversion = Conversion(block, returns, edits)
    for index, token in enumerate(code):
        if token.kind != "parameter":
            continue
        name = block.text(token)[1:]
        keys, repeated = lists.get(name, (None, False))
        if name not in lists:
            edits.replace(token.start, token.end, f":{names.name(name)}")
        elif keys is None:
            _replace_list(block, code, index, edits, names.name(name))
        else:
            row = ", ".join(f":{names.inferred(f'{name}.{key}', key)}" for key in keys)
            edits.replace(token.start, token.end, f"({row})")
            if repeated:
                _check_rows(block, code, index)
                method = "batch" if has_columns(block) else "execute_many"
                conversion.docs.append(f"It inserts one row; call its {method} with many.")
        if (
            index + 1 < len(code)
            and code[index + 1].start == token.end
            and block.text(code[index + 1]) == "!"
        ):
            edits.replace(token.end, token.end + 1, "")
    return conversion


def _replace_list(block: Block, code: tuple[Token, ...], index: int, edits: Edits, parameter: str) -> None:
    """Replace ``in :ids`` by ``= any(:ids)``, and ``not in :ids`` by ``<> all(:ids)``."""
    before = [block.word(token) for token in code[max(index - 2, 0) : index]]
    if before[-1:] != ["in"]:
        raise block.source.error(
            code[index].start,
            f"the list :{parameter} is not after in",
            hint=f"write = any(:{parameter}) with an array",
        )
    negated = before[0] == "not"
    start = code[index - 2 if negated else index - 1].start
    edits.replace(start, code[index].end, f"{'<> all' if negated else '= any'}(:{parameter})")


def _check_rows(block: Block, code: tuple[Token, ...], index: int) -> None:
    """Raise unless a list of rows is the values of an insert."""
    before = block.word(code[index - 1]) if index else ""
    if before != "values" or block.word(code[0]) != "insert":
        raise block.source.error(
            code[index].start,
            f"the rows {block.text(code[index])} are not the values of an insert",
            hint="write unnest with one array for each column",
        )
