"""Errors of the server as psycopg raises them: each gets the class of its SQLSTATE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from plainsql.query import CompiledQuery
from plainsql.sqlstate_errors import ConstraintViolation, ServerError, class_of, classify

__all__ = ["classified_errors", "classify_error", "is_refusal", "name_at_commit", "named_at_commit"]

# A hot standby refuses serializable transactions, explicit ones and by default.
_NOT_SERIALIZABLE = frozenset({"call_enum_check_hook", "GetSerializableTransactionSnapshot"})


def is_refusal(error: BaseException) -> bool:
    """Return whether this error may mean that the server is a standby or read-only. The statement was not
    executed.
    """
    if isinstance(error, psycopg.errors.FeatureNotSupported):
        return error.diag.source_function in _NOT_SERIALIZABLE
    return isinstance(error, psycopg.errors.ReadOnlySqlTransaction)


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


@contextmanager
def named_at_commit(query: CompiledQuery[Any, Any]) -> Iterator[None]:
    """Run a block that commits a call's own transaction, and name the error that leaves it."""
    try:
        yield
    except psycopg.Error as error:
        name_at_commit(error, query)
        raise
