"""Parameters that are lists of rows: the columns of ``:customers`` in ``unnest(:customers.name::text[], …)``.

Each column is a parameter of the statement, ``customers.name``, and the caller gives the rows as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from keyword import iskeyword
from typing import TYPE_CHECKING

from plainsql.errors import SqlFileError

if TYPE_CHECKING:
    from plainsql.statements.scanner import Token
    from plainsql.statements.source import Source

__all__ = ["check_rows", "end_of_column", "rows_of"]


def end_of_column(source: Source, tokens: list[Token], bracket: int, index: int) -> int | None:
    """Return the end of ``:customers.name`` if the parameter at ``index`` begins one, directly in the
    brackets of ``unnest``.

    Raises:
        SqlFileError: the column has no type, which PostgreSQL cannot infer for ``unnest``.
    """
    if bracket < 1 or index + 2 >= len(tokens):
        return None
    function, dot, column = tokens[bracket - 1], tokens[index + 1], tokens[index + 2]
    text = source.text
    if dot.kind != "dot" or column.kind != "word" or dot.start != tokens[index].end:
        return None
    if text[function.start : function.end].lower() != "unnest" or column.start != dot.end:
        return None
    written = text[tokens[index].start : column.end]
    if index + 3 >= len(tokens) or tokens[index + 3].kind != "cast":
        raise source.error(
            tokens[index].start,
            f"the type of {written} is missing",
            hint=f"write it as an array: {written}::text[]",
        )
    return column.end


def rows_of(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns of each parameter that is a list of rows."""
    found: dict[str, list[str]] = {}
    for name in names:
        rows, dot, column = name.partition(".")
        if dot:
            found.setdefault(rows, []).append(column)
    return {rows: tuple(columns) for rows, columns in found.items()}


def check_rows(
    source: Source, parameters: tuple[str, ...], offsets: dict[str, int], optional: Iterable[str]
) -> list[SqlFileError]:
    """Return an error for each list of rows whose columns are apart, or that is a parameter as well."""
    errors: list[SqlFileError] = []
    for rows, columns in rows_of(parameters).items():
        first = parameters.index(f"{rows}.{columns[0]}")
        place = offsets[parameters[first]]
        together = parameters[first : first + len(columns)]
        if rows in parameters:
            errors.append(
                source.error(
                    offsets[rows],
                    f":{rows} is a list of rows, and cannot be a value as well",
                    hint="give one of them another name",
                )
            )
        elif together != tuple(f"{rows}.{column}" for column in columns):
            errors.append(
                source.error(
                    place,
                    f"the columns of :{rows} are not next to each other",
                    hint=f"write all columns of :{rows} in one unnest, without another parameter among them",
                )
            )
        elif len({name in set(optional) for name in together}) > 1:
            errors.append(
                source.error(
                    place,
                    f"some columns of :{rows} are on optional lines, and others are not",
                    hint="put all of them on one line",
                )
            )
        errors += [
            source.error(
                offsets[f"{rows}.{column}"],
                f"{column!r} cannot be the name of a field in Python",
                hint="choose another name: it is the field of a row, and not a column of a table",
            )
            for column in columns
            if iskeyword(column) or not column.isidentifier() or column.startswith("__")
        ]
    return errors
