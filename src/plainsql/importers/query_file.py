"""The text of a query file, written from a query of another tool and confirmed by the parser."""

from __future__ import annotations

from collections.abc import Iterable

from plainsql.errors import SqlFileError, SqlFolderError
from plainsql.importers.blocks import COMMENTS, Block
from plainsql.importers.edits import Edits
from plainsql.importers.names import parameter_name
from plainsql.importers.shape import is_definition
from plainsql.statements import parse
from plainsql.statements.header import read_layout
from plainsql.statements.source import Source

__all__ = ["Conversion", "Parameters", "write_query"]


class Parameters:
    """The names that a query's parameters get: one for each name of the tool."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._names: dict[str, str] = {}
        self._given: set[str] = set(known)
        """Names that parameters of the text have already."""

    def name(self, name: str) -> str:
        """Return the parameter that a parameter of the tool becomes."""
        if name not in self._names:
            others = self._given - {name}
            self._names[name] = parameter_name(name, {*self._names.values(), *others})
        return self._names[name]

    def inferred(self, key: str, name: str) -> str:
        """Return the parameter for a key that is no name, such as ``$1``, with a name that is free."""
        if key not in self._names:
            self._names[key] = parameter_name(name, {*self._names.values(), *self._given})
        return self._names[key]


class Conversion:
    """A query of another tool with its replacements, and the facts for its header."""

    __slots__ = ("block", "docs", "edits", "nullable", "returns")

    def __init__(self, block: Block, returns: str, edits: Edits) -> None:
        self.block = block
        self.returns = returns
        self.edits = edits
        self.nullable: list[str] = []
        """Parameters that may be null by the tool's mark."""
        self.docs: list[str] = []
        """Further sentences of the description."""


def write_query(conversion: Conversion, name: str, path: str) -> str:
    """Return the text of the query's file.

    Raises ``SqlFileError``, at its place in the file of the tool, if it is no query of plainsql.
    """
    block, edits = conversion.block, conversion.edits
    if is_definition(block):
        raise block.source.error(
            block.tokens[0].start,
            "this statement defines the schema, and is no query",
            hint="move it to a migration",
        )
    for token in block.tokens:
        if token.kind in COMMENTS and block.source.text.startswith("--?", token.start):
            edits.replace(token.start, token.start + 3, "-- ?")
    lines = _description([*block.docs, *([""] if block.docs and conversion.docs else []), *conversion.docs])
    lines.append(f"-- returns: {conversion.returns}")
    lines += [f"-- param {parameter}: = null" for parameter in dict.fromkeys(conversion.nullable)]
    header = "\n".join(lines) + "\n"
    text = f"{header}{edits.apply(block.source.text, block.tokens[0].start, block.tokens[-1].end)}\n"
    try:
        parse(text, name=name, path=path)
    except SqlFolderError as several:
        raise _placed(several.errors[0], conversion, text, len(header)) from None
    except SqlFileError as error:
        raise _placed(error, conversion, text, len(header)) from None
    return text


def _description(docs: Iterable[str]) -> list[str]:
    """Return the lines of a description: none of them is read as a key of the header."""
    lines = []
    for doc in "\n".join(docs).strip("\n").split("\n"):
        line = f"-- {doc}".rstrip()
        errors: list[SqlFileError] = []
        _, entries, _ = read_layout(Source(f"{line}\n", ""), errors)
        lines.append(f"-- - {doc}" if entries or errors else line)
    return [] if lines == ["--"] else lines


def _placed(error: SqlFileError, conversion: Conversion, text: str, header: int) -> SqlFileError:
    """Return an error of the written text at its place in the file of the tool."""
    source = conversion.block.source
    offset = conversion.block.mark.offset
    if error.place is not None and error.place.line:
        starts = [0]
        for line in text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
        at = starts[error.place.line - 1] + (error.place.column or 1) - 1
        if at >= header:
            offset = conversion.edits.origin(at - header)
    return source.error(offset, error.message, hint=error.hint)
