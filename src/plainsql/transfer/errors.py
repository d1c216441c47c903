"""The errors of an export and of an import."""

from __future__ import annotations

import psycopg

from plainsql.errors import PlainsqlError

__all__ = ["TransferError", "refused"]

_INSUFFICIENT_PRIVILEGE = "42501"
_LOCK_NOT_AVAILABLE = "55P03"
_FEATURE_NOT_SUPPORTED = "0A000"


class TransferError(PlainsqlError):
    """An export or an import failed, and left nothing: no file was created, no row was written."""


def refused(error: psycopg.Error, what: str) -> TransferError:
    """Return the error of a refused statement, without the values that the server's message may quote."""
    said, sqlstate = error.diag, error.sqlstate
    if sqlstate == _INSUFFICIENT_PRIVILEGE and "row-level security" in (said.message_primary or ""):
        return TransferError(
            f"{what}: row-level security hides rows of {said.table_name or 'a table'} from this role",
            detail=said.message_primary,
            hint="connect as a role that sees every row: one with bypassrls, or a superuser",
        )
    if sqlstate == _INSUFFICIENT_PRIVILEGE:
        return TransferError(
            f"{what}: {said.message_primary}", hint="connect as the owner of the tables, or as a superuser"
        )
    if sqlstate == _LOCK_NOT_AVAILABLE:
        return TransferError(
            f"{what}: other sessions use the tables, and did not release them in time",
            hint="try again when they have ended; pg_stat_activity shows them",
        )
    # The message quotes the value in class 22; in class 23 only the detail does.
    text = type(error).__name__ if sqlstate is None or sqlstate[:2] == "22" else said.message_primary
    detail = said.message_detail if sqlstate == _FEATURE_NOT_SUPPORTED else None
    return TransferError(f"{what}: {text} (SQLSTATE {sqlstate})", detail=detail)
