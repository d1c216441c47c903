"""The servers that a URL names: a connection goes to the first suitable one that answers."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any, Final

import asyncpg
from asyncpg import exceptions

from plainsql.connect_errors import UnsuitableServerError
from plainsql.conninfo import Address, Conninfo
from plainsql.credentials import Credentials
from plainsql.database.pool.tls import tls_options
from plainsql.speed.loaded import CONNECT

__all__ = ["Hosts"]

# Errors after which the next host is tried: it does not answer, ends the connection, or is not ready.
_PASSED_ON: Final = (
    OSError,
    exceptions.CannotConnectNowError,
    exceptions.ConnectionDoesNotExistError,
    exceptions.InternalClientError,
    exceptions.TargetServerAttributeNotMatched,
)

_REFUSED: Final = (
    exceptions.InvalidPasswordError,
    exceptions.InvalidAuthorizationSpecificationError,
)

# Parameters that the asynchronous driver cannot honour. Connecting without them would be weaker than what the
# URL wants, or different.
_CANNOT: Final = (
    (
        "channel_binding",
        ("require",),
        "the asynchronous driver cannot bind to the channel, and connecting without it is weaker",
        "write channel_binding=prefer, and sslmode=verify-full, which proves the server by its certificate",
    ),
    (
        "require_auth",
        None,
        "the asynchronous driver cannot limit the methods of authentication",
        "leave it out; sslmode=verify-full keeps a password from other servers",
    ),
    (
        "gssencmode",
        ("require",),
        "the asynchronous driver has no encryption by GSSAPI",
        "write gssencmode=prefer, and sslmode=require for encryption by TLS",
    ),
    (
        "requirepeer",
        None,
        "the asynchronous driver cannot check the owner of a socket",
        "leave it out, and put the socket into a folder that only the server's user can write",
    ),
    (
        "sslcertmode",
        ("require",),
        "the asynchronous driver cannot tell whether the server has asked for the certificate",
        "write sslcertmode=allow",
    ),
    ("sslsni", ("0",), "the asynchronous driver always sends the server's name", "leave it out"),
    (
        "min_protocol_version",
        ("3.2", "latest"),
        "the asynchronous driver speaks version 3.0",
        "leave it out",
    ),
    (
        "gssdelegation",
        ("1",),
        "the asynchronous driver delegates no credentials",
        "leave it out",
    ),
    ("scram_client_key", None, "the asynchronous driver needs the password itself", "write the password"),
    ("scram_server_key", None, "the asynchronous driver needs the password itself", "write the password"),
    ("oauth_issuer", None, "the asynchronous driver cannot authenticate by OAuth", "leave it out"),
    ("oauth_client_id", None, "the asynchronous driver cannot authenticate by OAuth", "leave it out"),
)


_ONE_SERVER: Final = ("primary", "read-write")
"""The kinds of which there is one server, or none during a failover."""
_HEAD_START_S: Final = 0.25
"""A server that has not answered after these seconds may be cut off: the next one is tried meanwhile."""
_TRIED_AGAIN_S: Final = 0.5
"""A server that is no primary may be promoted while another one is silent."""


class Hosts:
    """The servers that a connection may lead to."""

    def __init__(
        self,
        conninfo: Conninfo,
        *,
        timeout: float,
        credentials: Credentials | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Check the parameters. ``credentials`` and ``context`` replace the password and the TLS of the URL.

        Raises ``ConnectError`` if a parameter cannot be honoured.
        """
        self._conninfo = conninfo
        self._credentials = credentials
        self._context = context
        self._timeout = timeout
        """Seconds for all servers together. Each gets its share of the rest."""
        self._kind = conninfo["target_session_attrs"] or "any"
        self._primary: Address | None = None
        for name, values, why, hint in _CANNOT:
            given = conninfo[name]
            if given and (values is None or given.lower() in values):
                raise conninfo.refusal(name, why, hint=hint)
        if conninfo["replication"] and conninfo["replication"].lower() not in ("0", "false", "no", "off"):
            raise conninfo.refusal(
                "replication", "a connection for replication runs no queries", hint="leave it out"
            )
        if conninfo["client_encoding"].lower().replace("-", "") not in ("", "auto", "utf8", "unicode"):
            raise conninfo.refusal("client_encoding", "text is exchanged as UTF-8", hint="leave it out")
        conninfo.check_files()
        self._check_addresses()
        if context is None and not all(address.is_socket for address in conninfo.addresses()):
            tls_options(conninfo)

    def _check_addresses(self) -> None:
        verified = self._conninfo["sslmode"] == "verify-full" or self._conninfo["sslrootcert"] == "system"
        for address in self._conninfo.addresses():
            if address.host.startswith("@"):
                raise self._conninfo.refusal(
                    "host",
                    "the asynchronous driver cannot connect to an abstract socket",
                    hint="use a socket in a folder",
                )
            if verified and address.name != address.host:
                raise self._conninfo.refusal(
                    "hostaddr",
                    "the asynchronous driver verifies a certificate by the address that it connects to",
                    hint="leave it out, and let the host's name be resolved",
                )

    async def connect(self, *_: Any, timeout: float | None = None, **options: Any) -> Any:
        """Connect to the first server that answers and is of the kind that the URL wants.

        ``options`` are those of ``asyncpg.connect`` that the URL does not decide. Raises the error of the
        last server, or ``UnsuitableServerError`` if servers answer and none is of that kind.
        """
        if self._credentials is None:
            return await self._connect_first(None, timeout, options)
        password = await self._credentials.fetch()
        try:
            return await self._connect_first(password, timeout, options)
        except _REFUSED:
            # The password may have changed since the function returned it.
            again = await self._credentials.fetch()
            if again == password:
                raise
        return await self._connect_first(again, timeout, options)

    async def _connect_first(
        self, password: str | None, timeout: float | None, options: dict[str, Any]
    ) -> Any:
        addresses = self._conninfo.addresses()
        if self._conninfo["load_balance_hosts"] == "random":
            random.shuffle(addresses)
        ends = asyncio.get_running_loop().time() + (self._timeout if timeout is None else timeout)
        if self._kind in _ONE_SERVER and len(addresses) > 1:
            return await self._connect_to_primary(addresses, ends, options, password)
        kinds = ["standby", "any"] if self._kind == "prefer-standby" else [self._kind]
        attempts = [(address, kind) for kind in kinds for address in addresses]
        failures = _Failures(self._kind)
        for at, (address, kind) in enumerate(attempts):
            share = _left(ends) / (len(attempts) - at)
            try:
                return await self._connect(address, kind, share, options, password)
            except _PASSED_ON as error:
                failures.add(error)
        raise failures.error()

    async def _connect_to_primary(
        self, addresses: list[Address], ends: float, options: dict[str, Any], password: str | None
    ) -> Any:
        """Connect to the one server that takes writes, without waiting long for those that do not answer.

        The order has no meaning, as only one is suitable: the last one that was, is tried first.
        """
        if (last := self._primary) is not None and last in addresses:
            addresses.insert(0, addresses.pop(addresses.index(last)))
        loop = asyncio.get_running_loop()
        failures = _Failures(self._kind)
        attempts: dict[asyncio.Task[Any], Address] = {}
        first: set[asyncio.Task[Any]] = set()
        """The first attempts of all servers: as long as one is silent, the others are tried again."""
        again: list[tuple[float, Address]] = []
        next_at = 0.0
        try:
            while addresses or first:
                now = loop.time()
                starts = [address for at, address in again if at <= now]
                again = [one for one in again if one[0] > now]
                if addresses and next_at <= now:
                    starts.append(addresses[0])
                    next_at = now + _HEAD_START_S
                for address in starts:
                    attempt = self._connect(address, self._kind, _left(ends), options, password)
                    attempts[task := asyncio.ensure_future(attempt)] = address
                    if addresses and address is addresses[0]:
                        first.add(task)
                        del addresses[0]
                times = [at for at, _ in again] + ([next_at] if addresses else [])
                done, _ = await asyncio.wait(
                    attempts,
                    timeout=max(min(times) - loop.time(), 0.0) if times else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    address = attempts.pop(task)
                    first.discard(task)
                    try:
                        connection = task.result()
                    except _PASSED_ON as error:
                        failures.add(error)
                        again.append((loop.time() + _TRIED_AGAIN_S, address))
                        next_at = 0.0
                    else:
                        self._primary = address
                        return connection
        finally:
            for task in attempts:
                task.add_done_callback(_end)
                task.cancel()
        raise failures.error()

    async def _connect(
        self, address: Address, kind: str, seconds: float, options: dict[str, Any], password: str | None
    ) -> Any:
        conninfo = self._conninfo
        settings: dict[str, str] = options.get("server_settings") or {}
        if conninfo["options"]:
            settings = {"options": conninfo["options"]} | settings
        # A Unix socket has no TLS and needs none.
        tls = {"ssl": False} if address.is_socket else self._tls_options()
        connect_to: Any = CONNECT or asyncpg.connect  # untyped
        return await connect_to(
            host=address.host,
            port=address.port,
            user=conninfo.user,
            # Not None: the driver would find a password by rules of its own.
            password=address.password if password is None else password,
            database=conninfo.database,
            target_session_attrs=kind,
            # asyncpg has them from 0.30 on.
            **{name: conninfo[name] for name in ("krbsrvname", "gsslib") if conninfo[name]},
            timeout=seconds,
            **(options | tls | {"server_settings": settings}),
        )

    def _tls_options(self) -> dict[str, Any]:
        if self._context is None:
            return tls_options(self._conninfo)
        return {"ssl": self._context, "direct_tls": self._conninfo["sslnegotiation"] == "direct"}


class _Failures:
    """The failures of the servers that were tried."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._last: BaseException | None = None
        self._unsuitable = False

    def add(self, error: BaseException) -> None:
        if isinstance(error, exceptions.TargetServerAttributeNotMatched):
            self._unsuitable = True
        else:
            self._last = error

    def error(self) -> BaseException:
        if self._unsuitable or self._last is None:
            error = UnsuitableServerError(self._kind)
            error.__cause__ = self._last
            return error
        return self._last


def _left(ends: float) -> float:
    return max(ends - asyncio.get_running_loop().time(), 0.0)


def _end(attempt: asyncio.Task[Any]) -> None:
    """End a connection that comes too late."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()
