"""The agreement of a majority on which server is a master, and for how long it may be trusted.

A failover makes a new master before the former one knows of it. So one answer proves nothing: the answers of
a majority do, for a time. Every member, a Sentinel or a node of a cluster, changes its answer only towards
the newer master. Two majorities have a member in common. Therefore, once a majority has named a new master,
no majority names the former one any more, and who trusts an answer for `TRUST_S` at most has left the former
master `TRUST_S` after the new one was first used.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from math import inf
from typing import Any, NamedTuple

from hiredis import pack_command
from redis.exceptions import RedisError

from plainsql.redis_address import Node
from plainsql.redis_protocol import Connections, RedisProtocol

__all__ = [
    "ANSWER_S",
    "NO_SCRIPT",
    "TAKEOVER_S",
    "TRUST_S",
    "AtNodeError",
    "Majority",
    "NoMajorityError",
    "Nodes",
    "View",
    "ask",
]

TRUST_S = 1.0
"""Seconds from the question for which the answer of a majority is trusted."""

TAKEOVER_S = 1.1
"""Seconds after the first use of a new master until no reader uses the former one: a little more than
`TRUST_S`, because two clocks measure them."""

ANSWER_S = 0.5
"""The time limit of one answer."""

_PAUSE_S = 0.05
"""The least time from one round to the next, for calls that fail."""

_ROUND_S = 1.0
"""The time limit of a round: members that others name are queried in it as well."""


class View(NamedTuple):
    """The answer of one member."""

    voter: str
    """Its identity: the same member may be reached at two addresses."""
    choice: Hashable
    """The part of the answer that a majority must have in common."""
    epoch: int
    """The number of the configuration that it knows, which only grows."""
    size: int
    """The number of members that it knows, with itself."""
    members: frozenset[Node]
    """The addresses of other members, if it names them."""
    places: Mapping[str, Node] = {}
    """The addresses of the servers in the choice, by their identities, if it names these."""


class NoMajorityError(RedisError):
    """The members that answer are no majority, or differ."""

    def __init__(self, count: str, reasons: Iterable[str] = ()) -> None:
        super().__init__(count)
        self.reasons = list(reasons)
        """The errors of those that do not answer."""


class AtNodeError(RedisError):
    """The cause is the error of a call to one of the servers."""

    def __init__(self, node: Node) -> None:
        super().__init__(str(node))
        self.node = node


class _NoScript:
    def in_full(self, command: bytes) -> bytes | None:
        return None


NO_SCRIPT = _NoScript()


async def ask(protocol: RedisProtocol, *words: str) -> Any:
    """Send a command that is no script, and return its reply."""
    command: tuple[Any, ...] = words
    return await protocol.send(NO_SCRIPT, pack_command(command), ANSWER_S)


class Nodes:
    """The connections to several servers, in one event loop.

    ``make`` returns a connection of redis-py to an address that is not open yet, and ``explain`` the error of
    a call, by its cause, its deadline and the address.
    """

    def __init__(
        self,
        make: Callable[[Node], Any],
        most: int,
        explain: Callable[[BaseException, float, Node], Exception],
    ) -> None:
        self._make, self._most, self._explain = make, most, explain
        self._found: dict[Node, Connections] = {}
        self.is_closed = False

    def at(self, node: Node) -> Connections:
        """Return the connections to a server, which may have none open."""
        found = self._found.get(node)
        if found is None:
            found = Connections(
                lambda: self._make(node),
                self._most,
                lambda error, deadline: self._explain(error, deadline, node),
            )
            found.is_closed = self.is_closed
            self._found[node] = found
        return found

    @property
    def open(self) -> set[RedisProtocol]:
        """The open connections to all servers."""
        return {protocol for connections in self._found.values() for protocol in connections.open}

    def keep(self, nodes: Iterable[Node]) -> None:
        """Close the connections to all other servers when their last calls have ended."""
        for node in self._found.keys() - set(nodes):
            for protocol in list(self._found[node].open):
                protocol.retire()
            if not self._found[node].open:
                del self._found[node]

    async def aclose(self) -> None:
        """Close all connections. Calls in progress fail."""
        self.is_closed = True
        await asyncio.gather(*[connections.aclose() for connections in self._found.values()])


class Majority(ABC):
    """Queries all members for the masters, and keeps the answer of their majority."""

    def __init__(
        self,
        seeds: Iterable[Node],
        nodes: Nodes,
        least: int,
        explain: Callable[[BaseException, Node], Exception],
    ) -> None:
        """``explain`` returns the error of a question to a member."""
        self._explain = explain
        self._seeds = frozenset(seeds)
        self._members = self._seeds
        self._size = self._least = least
        """The greatest number of members that any of them has known. More than half are a majority."""
        self.nodes = nodes
        """The connections to the members."""
        self.trusted_until = -inf
        """The time, on the loop's clock, until which the last answer of a majority is trusted."""
        self.is_used = False
        """True if a call was made since the last round."""
        self._epoch = -1
        self._began = -inf
        """The begin of the last round."""
        self._round: asyncio.Task[None] | None = None
        self._renewal: asyncio.TimerHandle | None = None

    @abstractmethod
    async def _view_of(self, member: Node) -> View:
        """Return the answer of a member. May raise any error."""

    @abstractmethod
    def _adopt(self, view: View) -> None:
        """Use an answer: that of a majority, or the newest if there is none yet."""

    @abstractmethod
    def described(self) -> str:
        """Return a description of the servers, for people to read."""

    @property
    @abstractmethod
    def is_known(self) -> bool:
        """True if some answer was adopted."""

    async def confirm(self) -> None:
        """Query the members. Concurrent callers wait for the same answers.

        Raises ``NoMajorityError``, or the error of a member if none answers as expected.
        """
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._ask_all())
            self._round.add_done_callback(_retrieve)
        await asyncio.shield(self._round)

    def distrust(self) -> None:
        """Do not trust the last answer any longer, and query again: a server has contradicted it."""
        self.trusted_until = -inf
        self.renew()

    def renew(self) -> None:
        """Query again in the background, but not all the time: a server fails, and may have a successor."""
        self.is_used = True
        self._renew_at(max(asyncio.get_running_loop().time(), self._began + _PAUSE_S))

    async def _ask(self, member: Node) -> View:
        """Return the answer of a member; raise the explained error."""
        try:
            return await self._view_of(member)
        except Exception as error:  # noqa: BLE001 (all are explained)
            raise self._explain(error, member) from None

    async def _ask_all(self) -> None:
        loop = asyncio.get_running_loop()
        began = self._began = loop.time()
        votes: dict[str, View] = {}
        named: set[Node] = set()
        errors: list[BaseException] = []
        asked: set[Node] = set()
        running: set[asyncio.Task[View]] = set()
        reasons: list[str] = []
        self.is_used = False
        try:
            while True:
                for member in (self._members | named) - asked:
                    asked.add(member)
                    task = loop.create_task(self._ask(member), name=str(member))
                    task.add_done_callback(_retrieve)
                    running.add(task)
                if not running or (rest := began + _ROUND_S - loop.time()) <= 0:
                    break
                done, running = await asyncio.wait(running, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if (error := task.exception()) is not None:
                        errors.append(error)
                        continue
                    view = task.result()
                    votes[view.voter] = view
                    named |= view.members
                    self._size = max(self._size, view.size)
                if (choice := self._chosen(votes.values())) is not None:
                    self._epoch = max(self._epoch, choice.epoch)
                    self._adopt(choice)
                    self.trusted_until = began + TRUST_S
                    # Members may have been removed: a majority of the former number says so.
                    self._size = max(self._least, *(view.size for view in votes.values()))
                    return
        finally:
            reasons += [f"{task.get_name()} did not answer" for task in running]
            for task in running:
                task.cancel()
            if named:
                self._members = self._seeds | named
                self._close_strangers()
            self._renew_at(max(began + TRUST_S / 2, loop.time()))
        reasons += [getattr(error, "message", type(error).__name__) for error in errors]
        self._without_majority(list(votes.values()), errors, reasons)

    def _close_strangers(self) -> None:
        self.nodes.keep(self._members)

    def _chosen(self, views: Iterable[View]) -> View | None:
        """Return a view of the majority, the one with the greatest epoch."""
        found = list(views)
        [(choice, count)] = Counter(view.choice for view in found).most_common(1) or [(None, 0)]
        if 2 * count <= self._size:
            return None
        return max((view for view in found if view.choice == choice), key=lambda view: view.epoch)

    def _without_majority(
        self, views: list[View], errors: list[BaseException], reasons: Iterable[str] = ()
    ) -> None:
        if not views and errors:
            raise max(errors, key=_weight)
        if not views:
            raise NoMajorityError(f"0 of {self._size} answered", reasons)
        newest = max(views, key=lambda view: view.epoch)
        if not self.is_known or newest.epoch > self._epoch:
            self._epoch = newest.epoch
            # The trust is in another answer.
            self.trusted_until = -inf
            self._adopt(newest)
        differ = ", and differ" if 2 * len(views) > self._size else ""
        raise NoMajorityError(f"{len(views)} of {self._size} answered{differ}", reasons)

    def _renew_at(self, when: float) -> None:
        """Query again while the connection is in use, before the answer is too old."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self.nodes.is_closed:
            return
        self._renewal = asyncio.get_running_loop().call_at(when, self._renew)

    def _renew(self) -> None:
        if self.is_used and not self.nodes.is_closed and (self._round is None or self._round.done()):
            self._round = asyncio.get_running_loop().create_task(self._ask_all())
            self._round.add_done_callback(_retrieve)

    async def aclose(self) -> None:
        """Close the connections, and end what runs in the background."""
        self.nodes.is_closed = True
        if self._renewal is not None:
            self._renewal.cancel()
        if self._round is not None and not self._round.done():
            self._round.cancel()
            await asyncio.wait([self._round])
        await self.nodes.aclose()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve the error of a task for which no caller waits."""
    if not task.cancelled():
        task.exception()


def _weight(error: BaseException) -> bool:
    """Return whether an error says more than that a member is away."""
    return "cannot be reached" not in str(error) and not isinstance(error, TimeoutError | OSError)
