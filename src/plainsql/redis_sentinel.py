"""The connections to the master that Redis Sentinels name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import ReadOnlyError

from plainsql.errors import RedisUnavailableError
from plainsql.redis_address import Node, RedisAddress
from plainsql.redis_majority import AtNodeError, Majority, Nodes, View, ask
from plainsql.redis_protocol import RedisProtocol, Script

__all__ = ["SentinelRoute", "open_master"]


class SentinelRoute(Majority):
    """The connections to Sentinels and to the master of one service, in one event loop."""

    def __init__(
        self,
        address: RedisAddress,
        sentinels: Nodes,
        servers: Nodes,
        explain: Callable[[BaseException, Node], Exception],
    ) -> None:
        """``explain`` returns the error of a question to a Sentinel."""
        super().__init__(address.nodes, sentinels, len(set(address.nodes)), explain)
        self._service = address.service
        self._servers = servers
        self._voters: dict[Node, tuple[RedisProtocol, str]] = {}
        """The identity of the Sentinel at the other end of a connection."""
        self.master: Node | None = None
        """The address of the master."""

    @property
    def is_known(self) -> bool:
        return self.master is not None

    @property
    def current(self) -> RedisProtocol | None:
        """The open connection to the master, if there is one."""
        return None if self.master is None else self._servers.at(self.master).current

    @property
    def open(self) -> set[RedisProtocol]:
        """All open connections."""
        return self.nodes.open | self._servers.open

    async def run(self, script: Script, command: bytes, deadline: float, *, trusted: bool) -> Any:
        """Send a command to the master, once, and return its reply.

        ``trusted``: only if a majority of the Sentinels has named it within `TRUST_S`.

        Raises ``AtNodeError`` if no connection to the master is opened, explained errors of the servers, and
        those of the Sentinels.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        try:
            async with asyncio.timeout_at(end):
                protocol = await self._protocol(trusted=trusted)
        except TimeoutError as error:
            if self.master is None or self.current is not None:
                raise TimeoutError from None
            raise AtNodeError(self.master) from error
        self.is_used = True
        return await protocol.send(script, command, deadline, end - loop.time())

    async def _protocol(self, *, trusted: bool) -> RedisProtocol:
        """Return an open connection to the master. If none is open, it queries the Sentinels first."""
        loop = asyncio.get_running_loop()
        while True:
            protocol = self.current
            if protocol is None or (trusted and self.trusted_until <= loop.time()):
                try:
                    await self.confirm()
                except Exception:
                    if trusted or self.master is None:
                        raise
            assert self.master is not None
            protocol = self.current
            if protocol is None:
                try:
                    protocol = await self._servers.at(self.master).connect()
                except Exception as error:
                    raise AtNodeError(self.master) from error
            # A call that must be trusted is sent in the same turn of the loop as this comparison.
            if not trusted or self.trusted_until > loop.time():
                return protocol

    def described(self) -> str:
        return f"{self._service}: the master {self.master}, by the majority of {self._size} Sentinels"

    async def _view_of(self, member: Node) -> View:
        protocol = await self.nodes.at(member).connect()
        known = self._voters.get(member)
        if known is None or known[0] is not protocol:
            info = await ask(protocol, "INFO", "server")
            run = next((line for line in bytes(info).split() if line.startswith(b"run_id:")), b"")
            if not run:
                raise RedisUnavailableError(
                    f"the Sentinel at {member} does not say its run_id", hint="check its version"
                )
            known = self._voters[member] = (protocol, run.decode())
        found = _fields(await ask(protocol, "SENTINEL", "MASTER", self._service))
        size = int(found["num-other-sentinels"]) + 1
        members = {member}
        if size > 1:
            others = await ask(protocol, "SENTINEL", "SENTINELS", self._service)
            members |= {_node(_fields(other)) for other in others}
        return View(known[1], _node(found), int(found["config-epoch"]), size, frozenset(members))

    def _adopt(self, view: View) -> None:
        choice = view.choice
        assert isinstance(choice, Node)
        if self.master == choice:
            return
        self.master = choice
        self._servers.keep([choice])

    async def aclose(self) -> None:
        """Close all connections. Calls in progress fail."""
        await super().aclose()
        await self._servers.aclose()


def _fields(reply: list[bytes]) -> dict[str, str]:
    texts = [text.decode() for text in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _node(fields: dict[str, str]) -> Node:
    return Node(fields["ip"], int(fields["port"]))


async def open_master(connection: Any) -> None:
    """Log in on a connection of redis-py that is open. Raises ``ReadOnlyError`` if it leads to a replica."""
    await connection.on_connect()
    await connection.send_command("ROLE")
    role = await connection.read_response(disable_decoding=True)
    if role[0] != b"master":
        raise ReadOnlyError("not a master")
