"""The notes on errors about the outcome of a statement; the same words for both drivers."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CHANGES_NOTHING",
    "NOT_COMMITTED",
    "NOT_SENT",
    "ON_REPLICA",
    "OUT_OF_TIME",
    "PERHAPS_COMMITTED",
    "UNKNOWN",
]

NOT_SENT: Final = "the connection was closed before the statement was sent: it was not executed"
CHANGES_NOTHING: Final = (
    "the connection was lost while the statement ran; it changes nothing, it may be run again"
)
UNKNOWN: Final = "the connection was lost while the statement ran: it may have been executed, or not"
OUT_OF_TIME: Final = "the statement ran out of time: it may have been executed, or not"
NOT_COMMITTED: Final = "the transaction was not committed: nothing of it was done"
PERHAPS_COMMITTED: Final = (
    "the connection was lost while the transaction was being committed: it may be committed, or not"
)
ON_REPLICA: Final = (
    "it was on a replica, which was lost, or has ended it for the changes that it applies; nothing was "
    "changed: run it again, as retry(read_only=True) does a transaction, or on the primary"
)
