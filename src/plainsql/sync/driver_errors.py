"""Errors of the server as psycopg raises them: each gets the class of its SQLSTATE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from plainsql.sqlstate_errors import ServerError, class_of, classify

__all__ = ["classified_errors", "classify_error"]


def classify_error(error: BaseException, kind: type[ServerError] | None = None) -> None:
    """Give an error of the server its class: ``kind``, or that of its SQLSTATE. Others stay as they are."""
    if (kind is None and isinstance(error, ServerError)) or not isinstance(error, psycopg.Error):
        return
    fields = error.diag
    if fields.sqlstate is None:  # libpq or psycopg raises it itself
        return
    classify(
        error,
        class_of(fields.sqlstate) if kind is None else kind,
        sqlstate=fields.sqlstate,
        constraint=fields.constraint_name,
        schema=fields.schema_name,
        table=fields.table_name,
        column=fields.column_name,
        message=fields.message_primary,
        detail=fields.message_detail,
        hint=fields.message_hint,
    )


@contextmanager
def classified_errors() -> Iterator[None]:
    """Run a block of psycopg's own calls, and give an error of the server that leaves it its class."""
    try:
        yield
    except psycopg.Error as error:
        classify_error(error)
        raise
