"""``on_connect``: the program's function that prepares each session, also after a reset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from plainsql.credentials import raised
from plainsql.errors import ConnectError

__all__ = ["OnConnect", "prepare_session"]

OnConnect = Callable[[Any], Awaitable[object]]
"""Prepares the session of an asyncpg connection."""


async def prepare_session(on_connect: OnConnect, connection: Any) -> None:
    """Run the function on a connection that serves no call yet.

    Raises ``ConnectError`` if the function raises, or leaves a transaction open.
    """
    failed: ConnectError | None = None
    try:
        await on_connect(connection)
    except Exception as error:  # noqa: BLE001 (the function is the program's)
        failed = raised("on_connect", error)
    if failed is None and connection.is_in_transaction():
        failed = ConnectError(
            "on_connect: expected no open transaction after the function, got one",
            hint="commit it in the function",
        )
    if failed is not None:
        # Outside of the handler: the function's error must not be the context.
        raise failed
