"""The outcome of a statement or a transaction that an error ended: executed, not executed, or unknown."""

from __future__ import annotations

import asyncio
from typing import Self

from asyncpg import exceptions

from plainsql.database.pool.lost_connection import ConnectionLostError, is_lost
from plainsql.outcome_notes import (
    CHANGES_NOTHING,
    NOT_COMMITTED,
    NOT_SENT,
    OUT_OF_TIME,
    PERHAPS_COMMITTED,
    UNKNOWN,
)
from plainsql.sqlstate_errors import is_own

__all__ = [
    "CommitOutcome",
    "add_note",
    "may_run_again",
    "may_still_commit",
    "note_of_statement",
    "was_not_committed",
    "was_not_sent",
]


class CommitOutcome:
    """Adds to the error that ends a transaction a note on whether it is committed.

    ``with CommitOutcome() as outcome: …``; set ``outcome.commit_begun`` when only the commit is left.
    """

    def __init__(self) -> None:
        self.commit_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> None:
        if raised is None:
            return
        if (note := _note_of_transaction(raised, ended=self.commit_begun)) is not None:
            add_note(raised, note)


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error that does not have it yet."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def was_not_sent(error: BaseException) -> bool:
    """Return whether the driver raised the error before it sent anything: it knew the connection as closed.

    If the connection ends later, the error is of the server's kind.
    """
    if isinstance(error, ConnectionLostError):
        return not error.was_sent
    return isinstance(error, exceptions.InterfaceError) and not isinstance(error, exceptions.PostgresError)


def was_not_committed(error: BaseException) -> bool:
    """Return whether a transaction lost its connection before its commit was sent, as its note says."""
    return is_lost(error) and NOT_COMMITTED in getattr(error, "__notes__", ())


def may_still_commit(error: BaseException) -> bool:
    """Return whether the server may still be running the statement that this error ended, and commit it.

    A request to cancel may come too late, and the loss of a connection does not stop its statement.
    """
    if isinstance(error, asyncio.CancelledError | TimeoutError):
        return not is_own(error)
    return is_lost(error) and not was_not_sent(error)


def may_run_again(error: BaseException, *, read_only: bool) -> bool:
    """Return whether a statement may be run again after an error: it changes nothing, or was not sent."""
    if is_lost(error):
        return read_only or was_not_sent(error)
    # A standby cancels a read that conflicts with the changes that it applies.
    return read_only and isinstance(error, exceptions.SerializationError)


def note_of_statement(error: BaseException, *, read_only: bool = False) -> str | None:
    """Return the outcome of a statement outside of a transaction; None if the error itself names it."""
    if is_own(error):
        return None
    if is_lost(error):
        if was_not_sent(error):
            return NOT_SENT
        return CHANGES_NOTHING if read_only else UNKNOWN
    if isinstance(error, TimeoutError) and not read_only:
        return OUT_OF_TIME
    return None


def _note_of_transaction(error: BaseException, *, ended: bool) -> str | None:
    """Return the outcome of a transaction; ``ended``: its block had ended when the error came."""
    if is_own(error) or not (is_lost(error) or isinstance(error, TimeoutError | OSError)):
        return None
    if ended and not was_not_sent(error):
        return PERHAPS_COMMITTED
    # A TimeoutError from the block may be the user's own.
    return NOT_COMMITTED if ended or is_lost(error) else None
