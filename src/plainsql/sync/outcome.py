"""The note on an error that says whether its statement was executed, if the connection was lost."""

from __future__ import annotations

from plainsql.outcomes import CHANGES_NOTHING, NOT_COMMITTED, PERHAPS_COMMITTED, UNKNOWN
from plainsql.sync.session import Session

__all__ = ["add_note", "add_transaction_note"]


def add_note(session: Session, error: BaseException, *, read_only: bool) -> None:
    """Note what became of a call's statement; nothing if the error says so by itself."""
    if session.is_lost:
        error.add_note(CHANGES_NOTHING if read_only else UNKNOWN)


def add_transaction_note(session: Session, error: BaseException, *, committing: bool) -> None:
    """Note what became of a transaction."""
    if session.is_lost:
        error.add_note(PERHAPS_COMMITTED if committing else NOT_COMMITTED)
