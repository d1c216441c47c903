"""Errors of the server as asyncpg raises them: each gets the class of its SQLSTATE."""

from __future__ import annotations

from typing import Any

from asyncpg import exceptions

from plainsql.query import CompiledQuery
from plainsql.sqlstate_errors import ConstraintViolation, ServerError, class_of, classify

__all__ = ["classify_error", "name_at_commit"]


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


def name_at_commit(error: BaseException, query: CompiledQuery[Any, Any]) -> None:
    """Give the error of a deferred constraint the query's name, and the class that its header names.

    The commit of a call's own transaction reports it.
    """
    classify_error(error)
    notes: list[str] = getattr(error, "__notes__", [])
    if isinstance(error, ConstraintViolation) and not any(note.startswith("query: ") for note in notes):
        if (kind := (query.errors or {}).get(error.constraint or "")) is not None:
            classify_error(error, kind)
        error.add_note(f"query: {query.name} ({query.file})")
