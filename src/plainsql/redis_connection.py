"""The connection to Redis that limits, sessions and the cache share: Lua scripts, one round trip each.

A script reads and writes in one atomic step, on the server's clock. It is sent by its digest, and in full
only to a server that does not know it yet.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Self

from plainsql import fork
from plainsql.errors import PlainsqlError, RedisUnavailableError, SettingsError
from plainsql.options import check

try:
    from hiredis import pack_command
    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.sentinel import SentinelConnectionPool
    from redis.exceptions import (
        AskError,
        NoScriptError,
        ReadOnlyError,
        RedisError,
        ResponseError,
        TryAgainError,
    )
except ImportError:  # the extra is not installed
    raise SettingsError(
        "rate limits, sessions, values and the cache need the redis package",
        hint="pip install 'plainsql[redis]'",
    ) from None

from plainsql.redis_address import UNKNOWN_OPTION, Node, RedisAddress, configured_address
from plainsql.redis_cluster import ClusterRoute
from plainsql.redis_explained import (
    FAILURES,
    explained,
    explained_at,
    explained_by_node,
    explained_by_sentinel,
)
from plainsql.redis_majority import ANSWER_S, TRUST_S, AtNodeError, Nodes
from plainsql.redis_protocol import Connections
from plainsql.redis_sentinel import SentinelRoute, open_master

__all__ = ["OWN_KEYS", "SERVER_CLOCK", "Client", "RedisConnection", "RedisSource", "Script"]

Client = Redis | RedisCluster

SERVER_CLOCK = """\
local function microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
"""
"""The beginning of every script that needs the time: microseconds since 1970, exact until the year 2255."""

OWN_KEYS = """\
-- Runs a command on a key. A key of another type belongs to another program and blocks ours: it is removed,
-- as if it was lost. Any other error is raised.
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
"""The beginning of scripts that read keys: a key of another type counts as lost, and is no lasting error."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest by which the server knows it."""

    text: str
    sha: str = field(init=False)
    by_sha: bytes = field(init=False, repr=False)
    """The beginning of a packed command that names the script by its digest."""

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)
        object.__setattr__(self, "by_sha", b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % sha.encode())

    def packed(self, keys: Sequence[str], arguments: Sequence[bytes | str | int]) -> bytes:
        """Return the command that runs it by its digest, as it is sent."""
        words: tuple[Any, ...] = ("EVALSHA", self.sha, len(keys), *keys, *arguments)
        command: bytes = pack_command(words)
        return command

    def in_full(self, command: bytes) -> bytes | None:
        """Return a packed command with the script in place of its digest; None if it has it already."""
        if self.by_sha not in command:
            return None
        text = self.text.encode()
        return command.replace(self.by_sha, b"$4\r\nEVAL\r\n$%d\r\n%b\r\n" % (len(text), text), 1)

    @classmethod
    def read(cls, package: str, *names: str, clock: str = SERVER_CLOCK, head: str = "") -> Self:
        """Join files of ``package`` into a script, after ``head`` and the functions for the clock and for
        reading keys.
        """
        texts = [(files(package) / name).read_text(encoding="utf-8") for name in names]
        return cls("\n".join([*([head] if head else []), clock, OWN_KEYS, *texts]))


_OwnConnections = Connections | SentinelRoute | ClusterRoute


class _LoopState:
    """The connections of one event loop."""

    __slots__ = ("client", "connections", "loop", "slots")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, client: Client, connections: _OwnConnections | None, most: int
    ) -> None:
        self.loop = loop
        self.client = client
        self.connections = connections
        """Those of a URL. redis-py only opens them: its work at each call, a lock, a check whether something
        can be read and a coroutine for each layer, costs as much as a GET."""
        # For a client that is given. Calls wait here and not in redis-py's blocking pool: that one loses a
        # connection if a task is cancelled at the moment it releases one, and the plain pool does not wait.
        self.slots = asyncio.Semaphore(most)


class RedisConnection:
    """The connection to one Redis server or cluster, for any number of tasks.

    ``redis`` is a client of redis-py, which the caller closes; or a URL (``redis://``, ``unix://``,
    ``redis+sentinel://``, ``redis+cluster://``; with ``rediss`` over TLS); or nothing, for the configured
    one. Limits, sessions and the cache may share one.

    With a URL it sends a command once. It opens a connection of its own in each event loop, on which all
    calls are pipelined, and another one if a reply is late; ``max_connections`` limits their number.

    A client of the caller repeats commands by its own settings (redis-py's default repeats them if the reply
    was lost), and belongs to one event loop.

    Raises ``SettingsError`` if there is no URL, if it cannot be read, or if ``redis`` is of another type.
    """

    def __init__(self, redis: Client | str | None = None, *, max_connections: int = 32) -> None:
        check("RedisConnection", max_connections=max_connections)
        self._owned = redis is None or isinstance(redis, str)
        self._max_connections = max_connections
        if redis is None or isinstance(redis, str):
            self._url, place = configured_address(redis)
            self._client: Client = Redis.from_pool(place.open_pool(max_connections))
            self._routed = None if place.kind == "server" else place
        else:
            self._url = ""
            self._client = _checked(redis)
            self._routed = None
        self._state: _LoopState | None = None
        """The state of the event loop that was used last."""
        self._states: dict[asyncio.AbstractEventLoop, _LoopState] = {}
        self._closed = False
        self._is_forked = False
        """True in a forked child, if the client is the parent's."""
        fork.watch(self)
        self.address = str(self._routed) if self._routed else _address(self._client)
        """The address for messages, without a password."""

    @classmethod
    def of(cls, redis: RedisSource) -> tuple[RedisConnection, bool]:
        """Return the connection to ``redis``, and whether the caller must close it."""
        return (redis, False) if isinstance(redis, RedisConnection) else (cls(redis), True)

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[bytes | str | int],
        *,
        deadline: float,
        trusted: bool = False,
    ) -> Any:
        """Run a script and return its reply, with strings as ``bytes``.

        In Redis Cluster, all keys must be in one slot. ``deadline``, in seconds, covers connecting, the wait
        for a free connection and the reply. The reply of a call that is cancelled or late reaches no other
        call.

        ``trusted``: with a URL of several servers, run it only on a master that a majority has named within
        the last second. Without it, the last known master is used if no majority answers.

        Raises ``RedisUnavailableError``; the script may then have run or not. Raises ``PlainsqlError`` if the
        script itself fails, or if the caller's client belongs to another event loop.
        """
        if self._owned:
            if self._routed is not None:
                return await self._run_routed(script, keys, script.packed(keys, arguments), deadline, trusted)
            return await self.send(script, script.packed(keys, arguments), deadline)
        state = self._state_of_loop()
        waiting = True
        try:
            async with asyncio.timeout(deadline), state.slots:
                waiting = False
                return await _evaluate(state.client, script, keys, arguments)
        except TimeoutError as error:
            raise (self._not_free(deadline) if waiting else self._explained(error, deadline)) from None
        except UnicodeError:
            raise  # a key or an argument that cannot be sent
        except RuntimeError as error:
            if "loop" not in str(error):
                raise
            raise PlainsqlError(
                f"the client of redis-py for {self.address} belongs to another event loop",
                hint="give a URL, which works in any loop, or make a client in each loop",
            ) from None
        except FAILURES as error:
            explained = self._explained(error, deadline)
            raise explained from explained.__cause__

    def send(self, script: Script, command: bytes, deadline: float) -> Awaitable[Any]:
        """Send a command that ``script.packed`` has made, as ``run`` does, and return an awaitable reply.

        Only if ``is_pipelined`` is true. If a connection is open, it is sent before this returns.
        """
        state = self._state
        if state is not None and state.loop is asyncio.get_running_loop():
            assert state.connections is not None
            protocol = state.connections.current
            if protocol is not None:
                return protocol.send(script, command, deadline)
        return self._send_on_new(script, command, deadline)

    def send_trusted(self, script: Script, command: bytes, deadline: float) -> Awaitable[Any]:
        """Send a command as ``send`` does, but only to a master that a majority has named of late.

        Only with the URL of Sentinels.
        """
        state = self._state
        if state is not None and state.loop is asyncio.get_running_loop():
            route = state.connections
            assert isinstance(route, SentinelRoute)
            protocol = route.current
            if protocol is not None and route.trusted_until > state.loop.time():
                route.is_used = True
                return protocol.send(script, command, deadline)
        return self._run_routed(script, (), command, deadline, trusted=True)

    async def _run_routed(
        self, script: Script, keys: Sequence[str], command: bytes, deadline: float, trusted: bool
    ) -> Any:
        """Send a command to the master that has its keys."""
        route = self._state_of_loop().connections
        assert isinstance(route, SentinelRoute | ClusterRoute)
        try:
            if isinstance(route, ClusterRoute):
                key = keys[0] if keys else ""
                return await route.run(script, command, key, deadline, trusted=trusted)
            return await route.run(script, command, deadline, trusted=trusted)
        except PlainsqlError:
            raise
        except FAILURES as error:
            if isinstance(error.__cause__ if isinstance(error, AtNodeError) else error, ReadOnlyError):
                route.distrust()
            if isinstance(error, AskError | TryAgainError):
                raise RedisUnavailableError(
                    f"Redis at {self.address} refused: a slot moves", hint="nothing was done; call again"
                ) from None
            failure = self._explained(error, deadline)
            raise failure from failure.__cause__
        finally:
            if self._closed:
                for protocol in route.open:
                    protocol.retire()

    async def _send_on_new(self, script: Script, command: bytes, deadline: float) -> Any:
        connections = self._state_of_loop().connections
        if not isinstance(connections, Connections):
            return await self._run_routed(script, (), command, deadline, trusted=False)
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        try:
            async with asyncio.timeout_at(end):
                protocol = await connections.connect()
        except TimeoutError as error:
            raise (
                self._not_free(deadline) if connections.is_full else self._explained(error, deadline)
            ) from None
        except FAILURES as error:
            if type(error) is ResponseError:
                # No script was sent yet: the refusal is about an option of the URL.
                raise RedisUnavailableError(
                    f"Redis refuses an option of the URL: {self.address}",
                    hint="check the database's number at the end of the URL, and its other options",
                ) from None
            explained = self._explained(error, deadline)
            raise explained from explained.__cause__
        reply = protocol.send(script, command, deadline, end - loop.time())
        if connections.is_closed:
            protocol.retire()
        return await reply

    def _not_free(self, deadline: float) -> RedisUnavailableError:
        return RedisUnavailableError(
            f"no connection to Redis at {self.address} was free within {deadline:g} s",
            hint="allow more connections or a longer deadline",
        )

    def _explained(self, error: BaseException, deadline: float) -> PlainsqlError:
        return explained(error, self.address, deadline)

    def abandon_to_parent(self) -> None:
        """Abandon all connections in a forked child; with a URL, it opens new ones."""
        for state in self._states.values():
            _close_copies(state)
        self._states, self._state = {}, None
        self._is_forked = not self._owned

    def _state_of_loop(self) -> _LoopState:
        """Return the state of the running loop, made if this is the first call there."""
        if self._is_forked:
            raise PlainsqlError(
                f"the client of redis-py for {self.address} was made before a fork: it is the parent's",
                hint="give a URL, which works in any process, or make the client after the fork",
            )
        loop = asyncio.get_running_loop()
        if self._state is not None and self._state.loop is loop:
            return self._state
        state = self._states.get(loop)
        if state is None:
            for closed in [each for each in self._states if each.is_closed()]:
                _abandon(self._states.pop(closed))
            most, connections = min(self._max_connections, _size(self._client)), None
            if self._owned:
                connections = self._new_connections(most)
            state = self._states[loop] = _LoopState(loop, self._client, connections, most)
        self._state = state
        return state

    def _new_connections(self, most: int) -> _OwnConnections:
        pool: Any = self._client.connection_pool  # type: ignore[union-attr]
        if self._routed is not None:
            return _route(self._routed, pool, most, is_closed=self._closed)
        connections = Connections(pool.make_connection, most, self._explained)
        connections.is_closed = self._closed
        return connections

    async def topology(self) -> str:
        """Return a description of the servers, for people to read.

        With a URL of several servers, it queries them. Raises ``RedisUnavailableError``.
        """
        route = self._state_of_loop().connections
        if not isinstance(route, SentinelRoute | ClusterRoute):
            return f"the cluster {self.address}" if self.is_cluster else f"one server at {self.address}"
        try:
            await route.confirm()
        except FAILURES as error:
            raise self._explained(error, ANSWER_S) from None
        return route.described()

    async def aclose(self) -> None:
        """Close the connections, unless the client is the caller's."""
        if not self._owned:
            return
        self._closed = True
        own = self._states.pop(asyncio.get_running_loop(), None)
        for state in self._states.values():  # mostly of closed loops
            _abandon(state)
        self._states, self._state = {}, None
        if own is not None and own.connections is not None:
            await own.connections.aclose()
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def url(self) -> str | None:
        """The URL, which may hold a password; None for a client of the caller's."""
        return self._url or None

    @property
    def is_pipelined(self) -> bool:
        """True if calls may be sent with ``send``: the connections are our own, and lead to one server."""
        return self._owned and not self.is_cluster

    @property
    def trust(self) -> float:
        """The seconds for which a master is trusted after a majority has named it; 0 without one."""
        return TRUST_S if self._routed is not None else 0.0

    @property
    def may_fail_over(self) -> bool:
        """True if another server may take the place of this one, with what it has received by then."""
        if self._routed is not None or self.is_cluster:
            return True
        return not self._owned and isinstance(self._client.connection_pool, SentinelConnectionPool)  # type: ignore[union-attr]

    @property
    def is_cluster(self) -> bool:
        """True if all keys of a call must be in one slot."""
        if self._routed is not None:
            return self._routed.kind == "cluster"
        return isinstance(self._client, RedisCluster)

    def __repr__(self) -> str:
        return f"<RedisConnection {self.address}>"


RedisSource = Client | RedisConnection | str | None
"""A client of redis-py, a connection, a URL, or nothing for the configured one."""


def _route(address: RedisAddress, pool: Any, most: int, *, is_closed: bool) -> SentinelRoute | ClusterRoute:
    """Return the connections to several servers, with the options of a pool of redis-py."""
    options = pool.connection_kwargs

    def raw(error: BaseException, _: float, __: Node) -> Exception:
        return error if isinstance(error, Exception) else ConnectionError()

    def at_node(error: BaseException, deadline: float, node: Node) -> Exception:
        return explained_at(error, node, str(address), deadline)

    def made(options: dict[str, Any], node: Node, **more: Any) -> Any:
        return pool.with_tls(pool.connection_class(**{**options, **node._asdict(), **more}))

    def to_server(node: Node) -> Any:
        return made(options, node, redis_connect_func=open_master)

    def to_node(node: Node) -> Any:
        return made(options, node)

    def to_sentinel(node: Node) -> Any:
        kept = {key: value for key, value in options.items() if key not in ("db", "username", "password")}
        return made(kept, node, **address.sentinel_login)

    if address.kind == "cluster":
        nodes = Nodes(to_node, most, raw)
        nodes.is_closed = is_closed
        return ClusterRoute(address, nodes, lambda error, node: explained_by_node(error, str(node), ANSWER_S))
    sentinels = Nodes(to_sentinel, 1, raw)
    servers = Nodes(to_server, most, at_node)
    sentinels.is_closed = servers.is_closed = is_closed
    return SentinelRoute(
        address,
        sentinels,
        servers,
        lambda error, node: explained_by_sentinel(error, str(node), ANSWER_S, address.service),
    )


def _checked(redis: object) -> Client:
    """Return the caller's client, if it is asynchronous and knows its options."""
    if not isinstance(redis, Redis | RedisCluster):
        kind = f"{type(redis).__module__}.{type(redis).__qualname__}"
        raise SettingsError(
            f"redis: expected a URL, a RedisConnection or a client of redis.asyncio, got {kind}",
            hint="import Redis from redis.asyncio" if kind.startswith("redis.") else "give a URL",
        )
    if isinstance(redis, Redis):
        pool: Any = redis.connection_pool
        try:
            pool.make_connection()
        except (ValueError, TypeError, RedisError) as error:
            named = UNKNOWN_OPTION.search(str(error))
            raise SettingsError(
                "redis: the client has options that no connection takes",
                detail=f"there is no option {named[1]!r}" if named else None,
                hint="make it with options that redis.asyncio knows",
            ) from None
    return redis


def _close_copies(state: _LoopState) -> None:
    """Close a forked child's copies of the sockets: nothing is sent, and the parent's sockets stay open."""
    for writer in _writers(state):
        with suppress(OSError, AttributeError):
            # The descriptor first: the transport can then do nothing to the parent's event loop and selector,
            # which the child may share.
            os.close(writer.transport.get_extra_info("socket").fileno())
        _LEFT_TO_PARENTS.append(writer)


_LEFT_TO_PARENTS: list[Any] = []
"""Writers whose sockets are closed. They are never collected: that would close their descriptors again."""


def _abandon(state: _LoopState) -> None:
    """Cut the connections of a loop that is closed or another thread's: nothing can be awaited there."""
    for writer in _writers(state):
        _cut(writer.transport)


def _writers(state: _LoopState) -> list[Any]:
    """Return the writers of all open connections, and take those of redis-py from it."""
    if state.connections is not None:
        return [protocol.writer for protocol in state.connections.open]
    pool: Any = getattr(state.client, "connection_pool", None)
    found = []
    for connection in () if pool is None else (*pool._available_connections, *pool._in_use_connections):
        writer, connection._writer, connection._reader = connection._writer, None, None
        if writer is not None:
            found.append(writer)
    return found


def _cut(transport: Any) -> None:
    with suppress(RuntimeError):  # the loop, which should do the rest, is closed
        transport.abort()
    with suppress(OSError, AttributeError):
        transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        # asyncio warns if a transport that has a socket is collected.
        transport._sock.close()
        transport._sock = None


async def _evaluate(
    client: Client, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
) -> Any:
    """Run a script on a client that is given."""
    rest = (len(keys), *keys, *arguments)
    # NEVER_DECODE: replies hold MessagePack, which a client with decode_responses would decode as text.
    try:
        return await client.execute_command("EVALSHA", script.sha, *rest, NEVER_DECODE=True)
    except NoScriptError:
        return await client.execute_command("EVAL", script.text, *rest, NEVER_DECODE=True)


def _size(client: Client) -> int:
    if isinstance(client, RedisCluster):
        return int(client.connection_kwargs.get("max_connections") or 2**31)
    return int(client.connection_pool.max_connections)


def _address(client: Client) -> str:
    if isinstance(client, RedisCluster):
        return ", ".join(sorted(node.name for node in client.get_nodes())) or "a cluster"
    options = client.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
