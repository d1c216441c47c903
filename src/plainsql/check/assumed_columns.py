"""The columns that the setting ``not_null`` declares as never null, compared with those of the database."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Final

from plainsql.check.problems import Problem
from plainsql.errors import Place, SettingsError
from plainsql.settings import Project

__all__ = ["unneeded_columns"]

_COLUMN: Final = """
select a.attname, a.attnotnull and c.relkind in ('r', 'p')
from pg_catalog.pg_class as c
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and c.oid = pg_catalog.to_regclass(concat(quote_ident(nullif(%s::text, '')) || '.', quote_ident(%s)))
"""


def unneeded_columns(connection: Any, project: Project) -> Iterator[Problem]:
    """Yield a problem for each column of the setting that is not null anyway.

    Raises ``SettingsError`` if a name matches no column of the database.
    """
    for name in project.not_null:
        table, _, column = name.rpartition(".")
        schema, _, table = table.rpartition(".")
        columns = dict(connection.execute(_COLUMN, (schema, table)).fetchall())
        place = _place(project, name)
        if column not in columns:
            close = difflib.get_close_matches(column, columns, 1)
            prefix = name.removesuffix(column)
            raise SettingsError(
                f"not_null in [tool.plainsql]: there is no column {name!r}",
                place=place,
                hint=f"did you mean {prefix}{close[0]}?"
                if close
                else "write schema.table.column, or table.column",
            )
        if columns[column]:
            yield Problem(
                "settings",
                place.path,
                place.line,
                place.column,
                f"not_null has {name!r}, which is not null in the database",
                None,
                "remove it",
                place.excerpt,
            )


def _place(project: Project, name: str) -> Place:
    """Return the place of a name in the settings."""
    file = project.root / "pyproject.toml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for number, line in enumerate(lines, 1):
        for quote in ('"', "'"):
            if (column := line.find(f"{quote}{name}{quote}")) >= 0:
                return Place(str(file), number, column + 1, line)
    return Place(str(file))
