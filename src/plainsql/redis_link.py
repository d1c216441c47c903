"""One way to Redis for all that needs it: Lua scripts, each a single round trip under a deadline.

Why scripts: what they read and write is one atomic step, on the server's clock. They are sent by their
digest, and in full only to a server that does not know them yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Self

from plainsql import fork
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

__all__ = ["OWN_KEYS", "SERVER_CLOCK", "Client", "Link", "RedisSource", "Script"]

Client = Redis | RedisCluster

SERVER_CLOCK = """\
local function microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
"""
"""What stands before every script that needs the time: microseconds since 1970, exact until the year 2255."""

OWN_KEYS = """\
-- Runs a command on a key. One of another type than ours is some other program's, and in the way: it is
-- removed, as if it was lost. Any other error is raised.
local function on(key, command, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then
      redis.call('DEL', key)
    end
    return redis.call(command, key, ...)
  end
  return reply
end
"""
"""What stands before scripts that read keys: a key of another type is a loss, and not an error for ever."""


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
        """Join files that lie beside the modules of ``package`` into a script, after the clock and what
        reads keys.
        """
        return cls(
            "\n".join(
                [clock, OWN_KEYS, *((files(package) / name).read_text(encoding="utf-8") for name in names)]
            )
        )


class _Way:
    """What a link has in one event loop."""

    __slots__ = ("client", "free", "places")

    def __init__(self, client: Client, max_connections: int) -> None:
        self.client = client
        # Waiting here and not in redis-py's blocking pool: that one loses a connection for good when a task
        # is cancelled at the moment it gives one back, and the plain pool does not wait at all.
        self.places = asyncio.Semaphore(min(max_connections, _size(client)))
        # Of a client of our own: connections that wait for the next call, the last used one on top. What the
        # pool does at each loan, a lock and a look whether something is to be read, costs as much as a GET.
        self.free: list[Any] = []


class Link:
    """A way to one Redis server or cluster, for any number of tasks.

    ``redis`` is a client of redis-py, which stays the caller's to close; or a URL (``redis://``,
    ``rediss://``, ``unix://``); or nothing, for the configured one. Limits, sessions and others may share one
    link.

    A link made from a URL sends a command once, and has connections of its own in each event loop that it is
    used in. A client of the caller's repeats commands as it was told to (redis-py's own default is to repeat
    them where the reply was lost), and belongs to one event loop.

    Raises ``SettingsError`` if there is no URL, if it cannot be read, or if ``redis`` is something else.
    """

    def __init__(self, redis: Client | str | None = None, *, max_connections: int = 32) -> None:
        check("Link", max_connections=max_connections)
        self._owned = redis is None or isinstance(redis, str)
        self._max_connections = max_connections
        if redis is None or isinstance(redis, str):
            self._url = _url(redis)
            self._client: Client = _open(self._url, max_connections)
        else:
            self._url = ""
            self._client = _checked(redis)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._way: _Way | None = None
        """Of ``_loop``: the one that was used last."""
        self._ways: dict[asyncio.AbstractEventLoop, _Way] = {}
        self._closed = False
        self._is_forked = False
        """Whether this is a forked child's copy, whose client is the parent's."""
        fork.watch(self)
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
        ``PlainsqlError`` if the script itself fails, or if a client that was given belongs to another event
        loop.
        """
        way = self._way
        if way is None or self._loop is not asyncio.get_running_loop():
            way = self._here()
        waiting = True
        try:
            async with asyncio.timeout(deadline), way.places:
                waiting = False
                return await self._evaluate(way, script, keys, arguments)
        except RedisUnavailableError as error:
            raise RedisUnavailableError(f"{error.message}: {self.address}", hint=error.hint) from None
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
            if _is_mistrusted(error):
                raise RedisUnavailableError(
                    f"Redis at {self.address} has a certificate that is not trusted",
                    hint="give the authority's certificate in the URL: ssl_ca_certs=/path",
                ) from None
            # While connecting, redis-py raises a ConnectionError for it.
            if isinstance(error, AuthenticationError) or isinstance(error.__context__, AuthenticationError):
                raise RedisUnavailableError(
                    f"Redis at {self.address} does not let us in", hint="check the user and the password"
                ) from None
            raise RedisUnavailableError(
                f"Redis at {self.address} cannot be reached: {type(error).__name__}",
                hint="check that the server runs there",
            ) from error
        except UnicodeError:
            raise  # a key or an argument that cannot be sent
        except (ValueError, LookupError, AttributeError):  # a parser that has met what is not Redis
            raise RedisUnavailableError(
                f"what answers at {self.address} is not Redis", hint="check the address in the URL"
            ) from None
        except RuntimeError as error:
            if self._owned or "loop" not in str(error):
                raise
            raise PlainsqlError(
                f"the client of redis-py for {self.address} belongs to another event loop",
                hint="give a URL, which works in any, or make a client and what uses it in each loop",
            ) from None

    def abandon_to_parent(self) -> None:
        """Let go of all connections in a forked child: it opens others if it made the client itself."""
        for way in self._ways.values():
            _close_copies(way)
        self._ways, self._way, self._loop = {}, None, None
        if self._owned:
            self._client = _open(self._url, self._max_connections)
        else:
            self._is_forked = True

    def _here(self) -> _Way:
        """Return the way of the running loop, made now if it is the first call there."""
        if self._is_forked:
            raise PlainsqlError(
                f"the client of redis-py for {self.address} was made before a fork: it is the parent's",
                hint="give a URL, which works in any process, or make the client after the fork",
            )
        loop = asyncio.get_running_loop()
        way = self._ways.get(loop)
        if way is None:
            for over in [each for each in self._ways if each.is_closed()]:
                _abandon(self._ways.pop(over))
            if self._ways and self._owned:
                # Another loop runs as well, in a thread of its own.
                way = _Way(_open(self._url, self._max_connections), self._max_connections)
            else:
                if self._owned and self._loop is not None:
                    self._client = _open(self._url, self._max_connections)
                way = _Way(self._client, self._max_connections)
            self._ways[loop] = way
        self._loop, self._way = loop, way
        return way

    async def _evaluate(
        self, way: _Way, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> Any:
        rest = (len(keys), *keys, *arguments)
        if self._owned and isinstance(way.client, Redis):
            try:
                return await self._exchange(way, ("EVALSHA", script.sha, *rest))
            except NoScriptError:
                return await self._exchange(way, ("EVAL", script.text, *rest))
        # NEVER_DECODE: replies hold MessagePack, which a client with decode_responses would take for text.
        try:
            return await way.client.execute_command("EVALSHA", script.sha, *rest, NEVER_DECODE=True)
        except NoScriptError:
            return await way.client.execute_command("EVAL", script.text, *rest, NEVER_DECODE=True)

    async def _exchange(self, way: _Way, command: tuple[Any, ...]) -> Any:
        # What redis-py's execute_command adds is repeats, which a client of our own makes none of, and
        # metrics: as much again as the exchange itself takes.
        pool: Any = way.client.connection_pool  # type: ignore[union-attr]
        connection = await self._take(way, pool)
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
                way.free.append(connection)
            else:
                await pool.release(connection)

    @staticmethod
    async def _take(way: _Way, pool: Any) -> Any:
        """Take a connection that lives: the server may have closed one while it waited."""
        while way.free:
            connection = way.free.pop()
            reader = connection._reader
            if reader is not None and not reader.at_eof():
                return connection
            await connection.disconnect()
            await pool.release(connection)
        try:
            return await pool.get_connection()
        except ResponseError as error:
            if type(error) is not ResponseError:
                raise
            # No script was sent yet: what is refused is what the URL asks for.
            raise RedisUnavailableError(
                "Redis refuses what the URL asks for",
                hint="check the database's number at the end of the URL, and its other options",
            ) from None

    async def aclose(self) -> None:
        """Close the connections, where the link has made the client itself."""
        if not self._owned:
            return
        self._closed = True
        unused = not self._ways
        here = self._ways.pop(asyncio.get_running_loop(), None)
        for way in self._ways.values():  # of loops that are over, as a rule
            _abandon(way)
        self._ways, self._way, self._loop = {}, None, None
        if here is not None:
            pool: Any = getattr(here.client, "connection_pool", None)
            while here.free:
                await pool.release(here.free.pop())
            await here.client.aclose()
        elif unused:
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


def _url(redis: str | None) -> str:
    url = redis_url(redis)
    if not url:
        raise SettingsError("no Redis is configured", hint="set REDIS_URL")
    return url


def _open(url: str, max_connections: int) -> Redis:
    if _has_open_password(url):
        raise SettingsError(
            "the URL of Redis has a password with characters that end it early",
            hint="write %40 for @, %2F for /, %3F for ? and %23 for #",
        )
    try:
        pool: Any = ConnectionPool.from_url(
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
        # Unknown parameters of the URL are found here, and not at the first call.
        pool.make_connection()
    except (ValueError, TypeError, RedisError) as error:
        named = _UNKNOWN.search(str(error)) if isinstance(error, TypeError) else None
        raise SettingsError(
            f"not the URL of a Redis server: {hide_password(url)}",
            detail=f"there is no parameter {named[1]!r}" if named else None,
            hint="write redis://user:password@host:port/0, rediss:// for TLS, or unix:///path/to/socket",
        ) from None
    return Redis.from_pool(pool)


_UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'")


def _has_open_password(url: str) -> bool:
    """Whether a password holds a character that ends it, so that its rest would be taken for an address."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("redis", "rediss"):
        return False
    ends = re.search(r"[/?#]", rest)
    return ends is not None and "@" in rest[ends.start() :]


def _checked(redis: object) -> Client:
    """Return a client that was given, if it is one that can be awaited and whose options are known to it."""
    if not isinstance(redis, Redis | RedisCluster):
        kind = f"{type(redis).__module__}.{type(redis).__qualname__}"
        raise SettingsError(
            f"redis: expected a URL, a Link or a client of redis.asyncio, got {kind}",
            hint="import Redis from redis.asyncio" if kind.startswith("redis.") else "give a URL",
        )
    if isinstance(redis, Redis):
        pool: Any = redis.connection_pool
        try:
            pool.make_connection()
        except (ValueError, TypeError, RedisError) as error:
            named = _UNKNOWN.search(str(error))
            raise SettingsError(
                "redis: the client has options that no connection takes",
                detail=f"there is no option {named[1]!r}" if named else None,
                hint="make it with options that redis.asyncio knows",
            ) from None
    return redis


def _is_mistrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _close_copies(way: _Way) -> None:
    """Close a forked child's copies of the sockets: nothing is sent, and the parent's stay open."""
    pool: Any = getattr(way.client, "connection_pool", None)
    connections = (*pool._available_connections, *pool._in_use_connections) if pool is not None else ()
    for connection in (*way.free, *connections):
        writer, connection._writer, connection._reader = connection._writer, None, None
        if writer is None:
            continue
        with suppress(OSError, AttributeError):
            # The descriptor first: what the transport does later then meets nothing of the parent's, whose
            # event loop, and its selector, may be the child's too.
            os.close(writer.transport.get_extra_info("socket").fileno())
        _LEFT_TO_PARENTS.append(writer)
    way.free.clear()


_LEFT_TO_PARENTS: list[Any] = []
"""Writers whose sockets are closed: they are never collected, which would close their descriptors again."""


def _abandon(way: _Way) -> None:
    """Cut the connections of a loop that is over, or is another thread's: nothing can be awaited there."""
    pool: Any = getattr(way.client, "connection_pool", None)
    if pool is None:
        return
    for connection in (*way.free, *pool._available_connections, *pool._in_use_connections):
        writer, connection._writer, connection._reader = connection._writer, None, None
        if writer is not None:
            _cut(writer.transport)
    way.free.clear()


def _cut(transport: Any) -> None:
    with suppress(RuntimeError):  # the loop, which is to do the rest, is closed
        transport.abort()
    with suppress(OSError, AttributeError):
        transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        # asyncio's own; it warns of a transport that has one when it is collected.
        transport._sock.close()
        transport._sock = None


def _size(client: Client) -> int:
    if isinstance(client, RedisCluster):
        return int(client.connection_kwargs.get("max_connections") or 2**31)
    return int(client.connection_pool.max_connections)


def _address(client: Client) -> str:
    if isinstance(client, RedisCluster):
        return ", ".join(sorted(node.name for node in client.get_nodes())) or "a cluster"
    options = client.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
