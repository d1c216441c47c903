"""The note on an error that says whether its statement was executed, if the connection was lost."""

from __future__ import annotations

from plainsql.query import Effect
from plainsql.sync.session import Session

__all__ = ["add_note", "add_transaction_note"]

_CHANGES_NOTHING = "the connection was lost while the statement ran; it changes nothing, it may be run again"
_UNKNOWN = "the connection was lost while the statement ran: it may have been executed, or not"
_NOT_COMMITTED = "the transaction was not committed: nothing of it was done"
_PERHAPS_COMMITTED = (
    "the connection was lost while the transaction was being committed: it may be committed, or not"
)


def add_note(session: Session, error: BaseException, effect: Effect) -> None:
    """Note what became of a call's statement; nothing if the error says so by itself."""
    if session.is_lost:
        error.add_note(_CHANGES_NOTHING if effect == "reads" else _UNKNOWN)


def add_transaction_note(session: Session, error: BaseException, *, committing: bool) -> None:
    """Note what became of a transaction."""
    if session.is_lost:
        error.add_note(_PERHAPS_COMMITTED if committing else _NOT_COMMITTED)
