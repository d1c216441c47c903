"""The server that the last call ran on, as `on_call` reports it."""

from __future__ import annotations

from plainsql.database import Call

__all__ = ["Seen"]


class Seen:
    """The server of the last call."""

    server = ""

    def __call__(self, call: Call) -> None:
        self.server = call.server
