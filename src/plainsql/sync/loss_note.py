"""The note on an error that says whether its statement was executed, if the connection was lost."""

from __future__ import annotations

from plainsql.outcome_notes import CHANGES_NOTHING, NOT_COMMITTED, PERHAPS_COMMITTED, UNKNOWN
from plainsql.sync.connection import SharedConnection

__all__ = ["add_note", "add_transaction_note"]


def add_note(shared: SharedConnection, error: BaseException, *, read_only: bool) -> None:
    """Add the note on a call's statement, unless the connection lives: the error says enough then."""
    if shared.is_lost:
        error.add_note(CHANGES_NOTHING if read_only else UNKNOWN)


def add_transaction_note(shared: SharedConnection, error: BaseException, *, committing: bool) -> None:
    """Add the note on a transaction, unless the connection lives."""
    if shared.is_lost:
        error.add_note(PERHAPS_COMMITTED if committing else NOT_COMMITTED)
