"""One way to Redis for all that needs it: Lua scripts, each a single round trip under a deadline.

Why scripts: what they read and write is one atomic step, on the server's clock. They are sent by their
digest, and in full only to a server that does not know them yet.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Self

from plainsql.errors import PlainsqlError, RedisUnavailableError, SettingsError
from plainsql.options import check
from plainsql.settings import hide_password, redis_url

try:
    from hiredis import pack_command
    from redis.asyncio import ConnectionPool, Redis, RedisCluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AuthenticationError,
        NoScriptError,
        RedisClusterException,
        RedisError,
        ResponseError,
    )
except ImportError:  # the extra is not installed
    raise SettingsError(
        "rate limits, sessions and the cache need the redis package", hint="pip install 'plainsql[redis]'"
    ) from None

__all__ = ["SERVER_CLOCK", "Client", "Link", "RedisSource", "Script"]

Client = Redis | RedisCluster

SERVER_CLOCK = """\
local function microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
"""
"""What stands before every script that needs the time: microseconds since 1970, exact until the year 2255."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest that the server knows it by."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)

    @classmethod
    def read(cls, package: str, *names: str, clock: str = SERVER_CLOCK) -> Self:
        """Join files that lie beside the modules of ``package`` into a script, with the clock before them."""
        return cls(
            "\n".join([clock, *((files(package) / name).read_text(encoding="utf-8") for name in names)])
        )


class Link:
    """A way to one Redis server or cluster, for any number of tasks of one event loop.

    ``redis`` is a client, which stays the caller's to close; or a URL (``redis://``, ``rediss://``,
    ``unix://``); or nothing, for the configured one. Limits, sessions and others may share one link.

    A link made from a URL sends a command once. A client of the caller's repeats commands as it was told to;
    redis-py's own default is to repeat them where the reply was lost.

    Raises ``SettingsError`` where there is no URL or it cannot be read.
    """

    def __init__(self, redis: Client | str | None = None, *, max_connections: int = 32) -> None:
        check("Link", max_connections=max_connections)
        self._owned = redis is None or isinstance(redis, str)
        self._client = _open(redis, max_connections) if redis is None or isinstance(redis, str) else redis
        # Waiting here and not in redis-py's blocking pool: that one loses a connection for good when a task
        # is cancelled at the moment it gives one back, and the plain pool does not wait at all.
        self._places = asyncio.Semaphore(min(max_connections, _size(self._client)))
        # Of a client of our own: connections that wait for the next call, the last used one on top. What the
        # pool does at each loan, a lock and a look whether something is to be read, costs as much as a GET.
        self._free: list[Any] = []
        self._closed = False
        self.address = _address(self._client)
        """Where Redis is, for people to read: without a password."""

    @classmethod
    def of(cls, redis: RedisSource) -> tuple[Link, bool]:
        """Return the link to ``redis``, and whether the caller is the one to close it."""
        return (redis, False) if isinstance(redis, Link) else (cls(redis), True)

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int], *, deadline: float
    ) -> Any:
        """Run a script and return its reply, with strings as ``bytes``.

        Of Redis Cluster, all keys must lie in one slot. ``deadline``, in seconds, covers the wait for a free
        connection, connecting and the reply. A call that is cancelled or late closes its connection: no other
        call can receive its reply.

        Raises ``RedisUnavailableError``; whether the script has run is then not known. Raises
        ``PlainsqlError`` where the script itself fails.
        """
        waiting = True
        try:
            async with asyncio.timeout(deadline), self._places:
                waiting = False
                return await self._evaluate(script, keys, arguments)
        except TimeoutError:
            if waiting:
                raise RedisUnavailableError(
                    f"no connection to Redis at {self.address} was free within {deadline:g} s",
                    hint="allow more connections or a longer deadline",
                ) from None
            raise RedisUnavailableError(
                f"Redis at {self.address} did not answer within {deadline:g} s",
                hint="check that the server runs and that nothing blocks it",
            ) from None
        except ResponseError as error:
            code = str(error).partition(" ")[0]
            if type(error) is ResponseError and code not in _STATES:
                # Not a state of the server but a mistake, which must not be taken for its absence.
                raise PlainsqlError(
                    f"Redis at {self.address} cannot run a script",
                    hint="look at the cause: is a command forbidden to this user, or does another program "
                    "write a key of the same name?",
                ) from error
            # The server's text may quote arguments: it is not passed on.
            raise RedisUnavailableError(
                f"Redis at {self.address} refused: {code if code in _STATES else type(error).__name__}",
                hint=_HINTS.get(type(error).__name__, "look into the server's log"),
            ) from None
        except (RedisError, RedisClusterException, OSError) as error:
            # While connecting, redis-py raises a ConnectionError for it.
            if isinstance(error, AuthenticationError) or isinstance(error.__context__, AuthenticationError):
                raise RedisUnavailableError(
                    f"Redis at {self.address} does not let us in", hint="check the user and the password"
                ) from None
            raise RedisUnavailableError(
                f"Redis at {self.address} cannot be reached: {type(error).__name__}",
                hint="check that the server runs there",
            ) from error

    async def _evaluate(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> Any:
        rest = (len(keys), *keys, *arguments)
        if self._owned and isinstance(self._client, Redis):
            try:
                return await self._exchange(self._client.connection_pool, ("EVALSHA", script.sha, *rest))
            except NoScriptError:
                return await self._exchange(self._client.connection_pool, ("EVAL", script.text, *rest))
        # NEVER_DECODE: replies hold MessagePack, which a client with decode_responses would take for text.
        try:
            return await self._client.execute_command("EVALSHA", script.sha, *rest, NEVER_DECODE=True)
        except NoScriptError:
            return await self._client.execute_command("EVAL", script.text, *rest, NEVER_DECODE=True)

    async def _exchange(self, pool: Any, command: tuple[Any, ...]) -> Any:
        # What redis-py's execute_command adds is repeats, which a client of our own makes none of, and
        # metrics: as much again as the exchange itself takes.
        connection = await self._take(pool)
        answered = False
        try:
            await connection.send_packed_command(pack_command(command), check_health=False)
            # Anything but a reply, a cancellation included, closes the connection.
            reply = await connection.read_response(disable_decoding=True)
            answered = True
            return reply
        except ResponseError:
            answered = True  # it is one, too
            raise
        finally:
            if answered and not self._closed:
                self._free.append(connection)
            else:
                await pool.release(connection)

    async def _take(self, pool: Any) -> Any:
        """Take a connection that lives: the server may have closed one while it waited."""
        while self._free:
            connection = self._free.pop()
            reader = connection._reader
            if reader is not None and not reader.at_eof():
                return connection
            await connection.disconnect()
            await pool.release(connection)
        return await pool.get_connection()

    async def aclose(self) -> None:
        """Close the connections, where the link has made the client itself."""
        if self._owned:
            self._closed = True
            pool: Any = getattr(self._client, "connection_pool", None)
            while self._free:
                await pool.release(self._free.pop())
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def is_cluster(self) -> bool:
        """Whether all keys of a call must lie in one slot."""
        return isinstance(self._client, RedisCluster)

    def __repr__(self) -> str:
        return f"<Link to Redis at {self.address}>"


RedisSource = Client | Link | str | None
"""A client of redis-py, a link, a URL, or nothing for the configured one."""

# What a server answers while it cannot serve, and redis-py has no class for.
_STATES = {"BUSY", "MISCONF", "NOREPLICAS", "UNKILLABLE"}

_HINTS = {
    "NoPermissionError": "the user's ACL must allow eval, evalsha and the commands of the scripts",
    "OutOfMemoryError": "raise maxmemory, or set an eviction policy",
    "ReadOnlyError": "this is a replica: connect to the primary",
}


def _open(redis: str | None, max_connections: int) -> Redis:
    url = redis_url(redis)
    if not url:
        raise SettingsError("no Redis is configured", hint="set REDIS_URL")
    try:
        pool = ConnectionPool.from_url(
            url,
            max_connections=max_connections,
            # No repeats: a consumed token is not to be consumed again because its reply was lost.
            retry=Retry(NoBackoff(), 0),
            # Every call has a deadline; redis-py's own would make a task for each command that it sends.
            socket_timeout=None,
            # With RESP3 redis-py 8 takes part in maintenance notifications, and then no longer looks whether
            # a pooled connection has been closed before it uses it.
            protocol=2,
        )
    except ValueError:
        raise SettingsError(
            f"not the URL of a Redis server: {hide_password(url)}",
            hint="write redis://user:password@host:port/0, rediss:// for TLS, or unix:///path/to/socket",
        ) from None
    return Redis.from_pool(pool)


def _size(client: Client) -> int:
    if isinstance(client, RedisCluster):
        return int(client.connection_kwargs.get("max_connections") or 2**31)
    return int(client.connection_pool.max_connections)


def _address(client: Client) -> str:
    if isinstance(client, RedisCluster):
        return ", ".join(sorted(node.name for node in client.get_nodes())) or "a cluster"
    options = client.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
