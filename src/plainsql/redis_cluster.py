"""The connections to the masters of a Redis Cluster, by slot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from plainsql.redis_address import Node, RedisAddress
from plainsql.redis_majority import NO_SCRIPT, AtNodeError, Majority, Nodes, View, ask
from plainsql.redis_protocol import RedisProtocol, Script

__all__ = ["ClusterRoute"]

_SLOTS = 16384
_TRIES = 5
_PAUSE_S = 0.005
"""The first pause before a try again, while slots are moved."""
_ASKING = b"*1\r\n$6\r\nASKING\r\n"


class _Owner(NamedTuple):
    """A master, with the slots that it has: pairs of the first and the last one."""

    id: str
    slots: tuple[tuple[int, int], ...]


class ClusterRoute(Majority):
    """The connections to the nodes of a cluster, in one event loop."""

    def __init__(
        self, address: RedisAddress, nodes: Nodes, explain: Callable[[BaseException, Node], Exception]
    ) -> None:
        """``explain`` returns the error of a question to a node."""
        super().__init__(address.nodes, nodes, 1, explain)
        self._by_name = address.prefers_names
        self._names: dict[Node, Node] = {}
        """The nodes by name, by the addresses that a redirection may give instead."""
        self._owners: tuple[_Owner, ...] | None = None
        self._by_slot: list[Node | None] = [None] * _SLOTS

    @property
    def is_known(self) -> bool:
        return self._owners is not None

    @property
    def open(self) -> set[RedisProtocol]:
        """All open connections."""
        return self.nodes.open

    @property
    def current(self) -> None:
        """No connection takes all calls."""
        return

    async def run(self, script: Script, command: bytes, key: str, deadline: float, *, trusted: bool) -> Any:
        """Send a command to the master of a key's slot, and return its reply.

        ``trusted``: only to a master that a majority of the nodes has named within `TRUST_S`. The command is
        sent again only if a node says that it has not run it, as while slots are moved.

        Raises what redis-py raises, and ``AtNodeError`` for a call that a server has failed.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        slot = key_slot(key.encode())
        asked: Node | None = None
        for attempt in range(_TRIES):
            try:
                async with asyncio.timeout_at(end):
                    protocol = await self._protocol(slot, asked, trusted=trusted)
            except TimeoutError as error:
                self.renew()
                node = asked or self._by_slot[slot]
                if node is None or self.nodes.at(node).current is not None:
                    raise TimeoutError from None
                raise AtNodeError(node) from error
            self.is_used = True
            rest = end - loop.time()
            node = asked or self._by_slot[slot]
            if asked is not None:
                # In full: this prefix holds for one command, so it cannot be repeated after NOSCRIPT.
                protocol.send(NO_SCRIPT, _ASKING, deadline, rest).add_done_callback(_retrieve)
                command, asked = script.in_full(command) or command, None
            try:
                return await protocol.send(script, command, deadline, rest)
            except AskError as error:
                if attempt == _TRIES - 1:
                    raise
                to = self._redirected(error, node)
                if not isinstance(error, MovedError):
                    asked = to
                    continue
                self._by_slot[slot] = to
                self.distrust()
                if not attempt:
                    continue
            except TryAgainError:
                if attempt == _TRIES - 1:
                    raise
            except ClusterDownError:
                self.renew()
                raise
            except Exception as error:
                if isinstance(error, TimeoutError):
                    self.renew()
                if node is None:
                    raise
                raise AtNodeError(node) from error
            await asyncio.sleep(min(_PAUSE_S * 2**attempt, max(end - loop.time(), 0)))
        raise AssertionError("the last attempt returns or raises")

    async def _protocol(self, slot: int, asked: Node | None, *, trusted: bool) -> RedisProtocol:
        """Return a connection to the master of a slot, or to the node that it is moved to."""
        loop = asyncio.get_running_loop()
        while True:
            if (trusted and self.trusted_until <= loop.time()) or not self.is_known:
                try:
                    await self.confirm()
                except Exception:
                    if trusted or not self.is_known:
                        raise
            node = asked or self._by_slot[slot]
            if node is None:
                self.renew()
                raise ClusterDownError(f"slot {slot} has no master")
            protocol = self.nodes.at(node).current
            if protocol is None:
                try:
                    protocol = await self.nodes.at(node).connect()
                except Exception as error:
                    # It may be gone: others know of its successor.
                    self.distrust()
                    raise AtNodeError(node) from error
            # A call that must be trusted is sent in the same turn of the loop as this comparison.
            if not trusted or self.trusted_until > loop.time():
                return protocol

    def described(self) -> str:
        masters = len(self._owners or ())
        return f"a cluster of {self._size} nodes, {masters} of them masters, by the majority"

    async def _view_of(self, member: Node) -> View:
        protocol = await self.nodes.at(member).connect()
        text = bytes(await ask(protocol, "CLUSTER", "NODES")).decode()
        owners: list[_Owner] = []
        places: dict[str, Node] = {}
        size, epoch, voter = 0, 0, ""
        for line in text.splitlines():
            id, address, flag_text, _, _, _, own_epoch, _, *slots = line.split(" ")
            flags = flag_text.split(",")
            if "myself" in flags:
                voter = id
            if "handshake" in flags or "noaddr" in flags:
                continue
            size += 1
            places[id] = self._node(address, member)
            epoch = max(epoch, int(own_epoch))
            ranges = tuple([_range(each) for each in slots if not each.startswith("[")])
            if "master" in flags and ranges:
                owners.append(_Owner(id, ranges))
        if not owners:
            raise ClusterDownError("no slot has a master")
        return View(voter, tuple(sorted(owners)), epoch, size, frozenset(places.values()), places)

    def _node(self, text: str, asked: Node) -> Node:
        """Return the address in a line of CLUSTER NODES, ``ip:port@bus,hostname``."""
        address, _, names = text.partition(",")
        host, _, port = address.partition("@")[0].rpartition(":")
        node = Node(host or asked.host, int(port))  # a node may not know its own
        name = names.partition(",")[0]
        if not self._by_name or not name or "=" in name:
            return node
        named = self._names[node] = node._replace(host=name)
        return named

    def _redirected(self, error: AskError, sender: Node | None) -> Node:
        """Return the node to which another one sends a call."""
        # Without an address, or with "?" for a name that is not known, it is the sender's host.
        host = error.host if error.host not in ("", "?") else sender.host if sender else ""
        node = Node(host.strip("[]"), error.port)
        return self._names.get(node, node)

    def _adopt(self, view: View) -> None:
        choice: Any = view.choice
        by_slot: list[Node | None] = [None] * _SLOTS
        for owner in choice:
            node = view.places[owner.id]
            for first, last in owner.slots:
                by_slot[first : last + 1] = [node] * (last + 1 - first)
        self._owners, self._by_slot = choice, by_slot


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _retrieve(reply: asyncio.Future[Any]) -> None:
    if not reply.cancelled():
        reply.exception()
