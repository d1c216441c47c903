"""The password of a connection: a text, or a function that is called for each new connection.

A function's token may end before the connection does: the server checks it when the connection opens, and
the next connection gets a new one. The password is in no repr, no message and no log.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from plainsql.errors import ConnectError

__all__ = ["AsyncPasswordSource", "Credentials", "PasswordSource", "raised"]

PasswordSource = str | Callable[[], str]
"""A password, or the function that returns one."""

AsyncPasswordSource = str | Callable[[], str | Awaitable[str]]
"""A password, or the function that returns one; it may be async."""


class Credentials:
    """The password that a caller of ``connect`` has given."""

    __slots__ = ("_source",)

    def __init__(self, source: AsyncPasswordSource) -> None:
        self._source = source

    def __repr__(self) -> str:
        return "<Credentials>"

    @property
    def may_change(self) -> bool:
        """True if the next password may be another one: a function makes it."""
        return callable(self._source)

    async def fetch(self) -> str:
        """Return the password of one connection. A function that is not async runs in a thread.

        Raises ``ConnectError`` if the function raises, or returns another value than a text.
        """
        source: Any = self._source
        if isinstance(source, str):
            return source
        error: Exception | None = None
        made: Any = None
        password: object = None
        if not inspect.iscoroutinefunction(source):
            # A future takes no `StopIteration`: the error comes back as a value.
            made, error = await asyncio.to_thread(_outcome, source)
        try:
            if inspect.iscoroutinefunction(source):
                made = source()
            password = await made if inspect.isawaitable(made) else made
        except Exception as raised_here:  # noqa: BLE001 (the function is the program's)
            error = raised_here
        if error is None:
            return _checked(password)
        # Outside of the handler: the function's error may hold a token, and must not be the context.
        raise raised("password", error)

    def get(self) -> str:
        """Return the password of one connection, in a program without asyncio.

        Raises what ``fetch`` raises.
        """
        source: Any = self._source
        if isinstance(source, str):
            return source
        try:
            password = source()
        except Exception as error:  # noqa: BLE001 (the function is the program's)
            failed = raised("password", error)
        else:
            return _checked(password)
        raise failed


def _outcome(source: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return what a function returns, or the error that it raises."""
    try:
        return source(), None
    except Exception as error:  # noqa: BLE001 (the function is the program's)
        return None, error


def _checked(password: object) -> str:
    if isinstance(password, str) and password and "\0" not in password:
        return password
    if inspect.iscoroutine(password):
        password.close()  # it would warn that it was never awaited
    got = "an empty str" if password == "" else type(password).__name__
    got = "a str with a zero byte" if got == "str" else got
    raise ConnectError(
        f"password: expected a str from the function, got {got}",
        hint="return the password or the token as a str",
    )


def raised(option: str, error: BaseException) -> ConnectError:
    """Return the error of a function that was given as an option, without its text: it may hold a token."""
    at = ""
    frame = error.__traceback__
    while frame is not None:
        at = f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return ConnectError(
        f"{option}: the function raised {type(error).__name__}{at}",
        hint="call the function alone to see its error: it is not shown here, as it may hold a token",
    )
