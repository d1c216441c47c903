"""The parameters of a text, and the end of its one statement.

The scanner calls ``:name`` a parameter wherever a colon is followed by a name. Two constructs of PostgreSQL
divide two expressions by a colon: slices (``a[lo:hi]``) and the SQL/JSON constructors (``json_object(k:v)``).
There, after a complete expression, ``:hi`` could as well be the column ``hi``. A reader cannot know either,
so it is an error, whose hint says how to write both. If no expression comes before it, ``:name`` is always
the parameter::

    a[1 : n]   up to the column n          a[1 : :n]   up to the parameter
    a[: n]     up to the column n          a[: :n]     up to the parameter
    a[:n]      the element at the parameter's place
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from plainsql.errors import SqlFileError
from plainsql.statements.row_parameters import end_of_column
from plainsql.statements.scanner import Token
from plainsql.statements.source import Source

__all__ = ["Placeholder", "find_placeholders"]

Placeholder = tuple[int, int, str]
"""The start, end and name of one ``:name``; the offsets include the colon."""

_JSON_CONSTRUCTORS: Final = frozenset({"json_object", "json_objectagg"})
_COMMENTS: Final = frozenset({"line_comment", "block_comment"})
_TOUCHING: Final = frozenset({"word", "quoted_name", "string", "number", "parameter", "positional"})
_LITERALS: Final = frozenset({"string", "number", "parameter", "positional", "quoted_name", "close"})
# Keywords in a place where an expression could begin: the expression comes after them.
_PREFIXES: Final = frozenset(
    {
        *(
            "all",
            "and",
            "any",
            "array",
            "between",
            "case",
            "distinct",
            "else",
            "exists",
            "from",
            "ilike",
            "in",
        ),
        *("is", "like", "not", "or", "select", "similar", "some", "symmetric", "then", "to", "when", "where"),
    }
)
# Keywords that follow an expression and end one.
_POSTFIXES: Final = frozenset({"end", "isnull", "notnull"})
_IGNORED: Final = frozenset({"word", "comma", "operator", "dot", "number", "string"})


def find_placeholders(source: Source, tokens: list[Token]) -> tuple[list[Placeholder], int]:
    """Return the parameters in the order of the text, and the offset at which the statement ends.

    The end is before the closing semicolon if there is one; comments after it do not count.

    Raises:
        SqlFileError: there is no statement or more than one, brackets do not match, or a colon or dollar is
            not plainsql's or could mean two things.
    """
    text = source.text
    found: list[Placeholder] = []
    brackets: list[int] = []
    for index, (kind, start, end) in enumerate(tokens):
        if kind in _IGNORED:
            continue
        if kind == "parameter":
            before = tokens[index - 1] if index else None
            if brackets and _colon_parts(text, tokens, brackets[-1]):
                if _operand_ended(text, tokens, index):
                    raise _ambiguous(source, tokens, brackets[-1], index)
            elif before is not None and before.end == start and before.kind in _TOUCHING:
                raise source.error(
                    start,
                    f"the parameter {text[start:end]} touches the text before it",
                    hint="put a space before the colon",
                )
            if before is not None and before.kind == "cast":
                raise source.error(
                    start,
                    "a type cannot be a parameter",
                    hint="write the name of the type after the two colons",
                )
            if end < len(text) and (text[end] == "$" or text[end] > "\x7f"):
                raise source.error(
                    end,
                    f"{text[end]!r} is not allowed in the name of a parameter",
                    hint="use the letters a to z, digits and underscores",
                )
            column_end = None
            if brackets and text.startswith(".", end):
                column_end = end_of_column(source, tokens, brackets[-1], index)
            found.append((start, column_end or end, text[start + 1 : column_end or end]))
        elif kind == "open":
            brackets.append(index)
        elif kind == "close":
            _close(source, tokens, brackets, index)
        elif kind == "semicolon":
            _refuse_second_statement(source, tokens, index)
            _refuse_open_brackets(source, tokens, brackets)
            _refuse_nothing(source, tokens[:index])
            return found, start
        elif kind == "positional":
            raise source.error(
                start,
                f"{text[start:end]} is a numbered parameter",
                hint="write parameters as :name",
            )
        elif (
            kind == "colon"
            and text.startswith(("'", '"'), end)
            and not (brackets and _colon_parts(text, tokens, brackets[-1]))
        ):
            raise source.error(
                start,
                "a quoted variable of psql is not a parameter",
                hint="write :name without quotes"
                if text[end] == "'"
                else "write the name itself: PostgreSQL takes values as parameters, not names",
            )
    _refuse_open_brackets(source, tokens, brackets)
    _refuse_nothing(source, tokens)
    return found, len(text)


def _colon_parts(text: str, tokens: list[Token], bracket: int) -> bool:
    """Report whether a colon directly inside this bracket may divide two expressions."""
    if text[tokens[bracket].start] == "[":
        return True
    before = _before(tokens, bracket)
    return before >= 0 and text[tokens[before].start : tokens[before].end].lower() in _JSON_CONSTRUCTORS


def _before(tokens: list[Token], index: int) -> int:
    """Return the index of the last token before this one that is not a comment, or -1."""
    index -= 1
    while index >= 0 and tokens[index].kind in _COMMENTS:
        index -= 1
    return index


def _operand_ended(text: str, tokens: list[Token], index: int) -> bool:
    """Report whether an expression is complete right before the token at ``index``.

    Two expressions never follow each other. So a word after a complete one is an operator (``and``,
    ``value``), even if it is something else in other places; any other word that is not a prefix is a column.
    """
    index = _before(tokens, index)
    if index < 0:
        return False
    kind, start, end = tokens[index]
    if kind != "word":
        return kind in _LITERALS
    word = text[start:end].lower()
    if _operand_ended(text, tokens, index):
        return word in _POSTFIXES
    return word not in _PREFIXES


def _ambiguous(source: Source, tokens: list[Token], bracket: int, index: int) -> SqlFileError:
    text = source.text
    _, start, end = tokens[index]
    name = text[start + 1 : end]
    if text[tokens[bracket].start] == "[":
        return source.error(
            start,
            f"in a slice, :{name} could be a colon and the column {name}, or the parameter",
            hint=f"write [… : {name}] for the column, [… : :{name}] for the parameter",
        )
    return source.error(
        start,
        f"in a JSON constructor, :{name} could be a colon and the column {name}, or the parameter",
        hint=f"write (… : {name}) for the column, (… : :{name}) for the parameter",
    )


def _close(source: Source, tokens: list[Token], brackets: list[int], index: int) -> None:
    start = tokens[index].start
    closing = source.text[start]
    if not brackets:
        raise source.error(
            start,
            f"{closing} has no opening bracket",
            hint="remove it, or open the bracket where it should begin",
        )
    opened = tokens[brackets.pop()].start
    expected = ")" if source.text[opened] == "(" else "]"
    if closing != expected:
        raise source.error(
            start,
            f"brackets do not match, expected {expected}, got {closing}",
            detail=f"the bracket {source.text[opened]} opens at {source.place(opened)}",
            hint="close the brackets in the order in which they opened",
        )


def _refuse_open_brackets(source: Source, tokens: list[Token], brackets: list[int]) -> None:
    if brackets:
        start = tokens[brackets[-1]].start
        opening = source.text[start]
        raise source.error(
            start, f"{opening} has no closing bracket", hint=f"close it with {')' if opening == '(' else ']'}"
        )


def _refuse_nothing(source: Source, tokens: list[Token]) -> None:
    if all(token.kind in _COMMENTS for token in tokens):
        raise source.error(
            0 if not tokens else tokens[0].start,
            "the file has only comments" if tokens else "the file has no SQL statement",
            hint="write the query below the header",
        )


def _refuse_second_statement(source: Source, tokens: list[Token], semicolon: int) -> None:
    """Raise if anything but comments and further semicolons follows the semicolon."""
    text = source.text
    rest = next((token for token in tokens[semicolon:] if token.kind not in {*_COMMENTS, "semicolon"}), None)
    if rest is None:
        return
    words = [t for t in tokens[:semicolon] if t.kind not in _COMMENTS]
    for first, second in pairwise(words):
        if [text[t.start : t.end].lower() for t in (first, second)] == ["begin", "atomic"]:
            raise source.error(
                first.start,
                "the body of a function is not a query",
                hint="move the definition of the function to a migration",
            )
    raise source.error(
        rest.start,
        "a second statement begins here, expected one statement per file",
        detail=f"the first one ends with the semicolon at {source.place(tokens[semicolon].start)}",
        hint="move it to a file of its own, or combine both with a common table expression",
    )
