"""The types of the server's errors: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import assert_type

import plainsql


def a_violation_names_its_constraint(error: Exception) -> None:
    if isinstance(error, plainsql.UniqueViolation):
        assert_type(error.constraint, str | None)
        assert_type(error.table, str | None)
        assert_type(error.column, str | None)


async def every_sibling_is_a_server_error(db: plainsql.Database) -> None:
    try:
        async with db.transaction():
            pass
    except (plainsql.ForeignKeyViolation, plainsql.CheckViolation) as error:
        assert_type(error, plainsql.ForeignKeyViolation | plainsql.CheckViolation)
        base: plainsql.ConstraintViolation = error
        root: plainsql.ServerError = base
        all_of_them: plainsql.PlainsqlError = root
        print(all_of_them.message)
