"""Errors of the server as asyncpg raises them: each gets the class of its SQLSTATE."""

from __future__ import annotations

from asyncpg import exceptions

from plainsql.sqlstate_errors import ServerError, class_of, classify

__all__ = ["classify_error"]


def classify_error(error: BaseException, kind: type[ServerError] | None = None) -> None:
    """Give an error of the server its class: ``kind``, or that of its SQLSTATE. Others stay as they are."""
    if not isinstance(error, exceptions.PostgresError) or (kind is None and isinstance(error, ServerError)):
        return
    sqlstate: str | None = getattr(error, "sqlstate", None)
    if getattr(error, "severity", None) is None:  # the driver raises it itself
        return
    classify(
        error,
        class_of(sqlstate) if kind is None else kind,
        sqlstate=sqlstate,
        constraint=getattr(error, "constraint_name", None),
        schema=getattr(error, "schema_name", None),
        table=getattr(error, "table_name", None),
        column=getattr(error, "column_name", None),
        message=getattr(error, "message", None),
        detail=getattr(error, "detail", None),
        hint=getattr(error, "hint", None),
    )
