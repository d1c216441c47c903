"""``example``: the values of a typical call: ``plainsql explain`` shows its plan, ``plainsql test`` runs it.

::

    -- example: id = 42
    -- example: state = 'open', tags = '{urgent}', newest = true

A value is a number, a text, ``true``, ``false`` or ``null``, and PostgreSQL reads it as the parameter's type.
Each line is a call of its own: it has a value for each parameter that a call must have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

from plainsql.errors import BindError, SqlFileError
from plainsql.statements.header import close_match
from plainsql.statements.model import Bounds, Example
from plainsql.statements.source import Source

if TYPE_CHECKING:
    from plainsql.statements.model import Constant
    from plainsql.statements.variants import Compiled

__all__ = ["ExampleLine", "check_examples", "read_example"]

_NAME: Final = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*=")
_VALUE: Final = re.compile(r"[ \t]*('(?:[^']|'')*'|[^,']*)[ \t]*(,|$)")
_FORM: Final = "write, for example, example: id = 42, state = 'open'"


class ExampleLine:
    """The values of a line, with the offset of each name in the file's text."""

    __slots__ = ("offset", "offsets", "values")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        """The offset of the line's key."""
        self.values: dict[str, Constant] = {}
        self.offsets: dict[str, int] = {}


def read_example(
    source: Source, text: str, offset: int, key_offset: int, constant: Callable[[str, int], Constant]
) -> ExampleLine:
    """Read the value of a line.

    ``constant`` reads one value at its offset. Raises ``SqlFileError`` with the place of the part that is
    wrong.
    """
    line = ExampleLine(key_offset)
    position, cursor = 0, offset
    while True:
        name = _NAME.match(text, position)
        if name is None:
            rest = text[position:].split(",", maxsplit=1)[0].strip()
            cursor = source.text.find(rest, cursor) if rest else cursor
            raise source.error(cursor, "expected name = value", hint=_FORM)
        # A continued value is joined to one line, so its parts are found again in the file.
        cursor = source.text.index(name[1], cursor)
        if name[1] in line.values:
            raise source.error(cursor, f"{name[1]} is given twice", hint="keep one of them")
        line.offsets[name[1]] = cursor
        value = _VALUE.match(text, name.end())
        if value is None:
            raise source.error(cursor, f"the text of {name[1]} does not end", hint=_FORM)
        cursor = source.text.find(value[1].partition(" ")[0], source.text.index("=", cursor) + 1)
        line.values[name[1]] = constant(value[1].strip(), cursor)
        if not value[2]:
            return line
        position = value.end()


def check_examples(
    source: Source,
    compiled: Compiled,
    lines: Collection[ExampleLine],
    bounds: dict[str, Bounds],
    errors: list[SqlFileError],
    more: Sequence[str] = (),
) -> list[Example]:
    """Compare the examples with the statement, and return them; errors go to ``errors``.

    ``more``: the parameters that are not in the text, but in settings.
    """
    found: list[Example] = []
    for line in lines:
        try:
            _check(source, compiled, line, bounds, more)
        except SqlFileError as error:
            errors.append(error)
        else:
            found.append(Example(tuple(line.values.items()), source.place(line.offset)))
    return found


def _check(
    source: Source, compiled: Compiled, line: ExampleLine, bounds: dict[str, Bounds], more: Sequence[str]
) -> None:
    parameters = [*compiled.parameters, *more]
    known = [*parameters, *compiled.choices]
    for name, value in line.values.items():
        offset = line.offsets[name]
        if name not in known:
            meant = close_match(name, known, 0.6)
            names = f"use one of its parameters: {', '.join(known)}" if known else "remove this line"
            raise source.error(
                offset,
                f"the query has no parameter :{name}",
                hint=f"did you mean {meant}?" if meant else names,
            )
        if name in parameters:
            _check_bounds(source, offset, name, value, bounds.get(name))
    defaults = {name for name, each in bounds.items() if each.has_default}
    missing = [
        name
        for name in parameters
        if name not in compiled.optional and name not in line.values and name not in defaults
    ]
    if missing:
        raise source.error(
            line.offset,
            f"the example has no value for {', '.join(f':{name}' for name in missing)}",
            hint=f"add {missing[0]} = …",
        )
    choices = {name: each.default for name, each in bounds.items() if name in compiled.choices}
    choices |= {name: value for name, value in line.values.items() if name in compiled.choices}
    try:
        compiled.variant(
            line.values.keys() & compiled.optional,
            {name: value for name, value in choices.items() if isinstance(value, str | bool)},
        )
    except BindError as error:
        raise source.error(line.offset, error.message.partition(": ")[2], hint=error.hint) from None


def _check_bounds(source: Source, offset: int, name: str, value: Constant, bounds: Bounds | None) -> None:
    if bounds is None or value is None or isinstance(value, str | bool):
        return
    low, high = bounds.low, bounds.high
    if (low is not None and value < low) or (high is not None and value > high):
        shown = f"{'' if low is None else low}..{'' if high is None else high}"
        raise source.error(offset, f"{name} is outside {shown}", hint=f"give a value within {shown}")
