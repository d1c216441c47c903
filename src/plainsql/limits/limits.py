"""All limits of a program: they share a connection to Redis, and a policy for its absence."""

from __future__ import annotations

import asyncio
import logging
import time
from fractions import Fraction
from functools import cache
from typing import Any, Literal, NamedTuple, Self

from plainsql import fork
from plainsql.application import redis_prefix
from plainsql.errors import BindError, RedisUnavailableError
from plainsql.limits.bucket import TokenBucket
from plainsql.limits.decision import Decision
from plainsql.limits.fair_queue import FairQueue
from plainsql.limits.local import LocalLimits, Outcome
from plainsql.limits.rules import BucketRule, Charge, Subject, subject_text
from plainsql.limits.window import SlidingWindow
from plainsql.options import check
from plainsql.redis_connection import RedisConnection, RedisSource, Script
from plainsql.redis_keys import in_braces, text_of

__all__ = ["Limits", "WithoutRedis"]

WithoutRedis = Literal["raise", "allow", "deny", "local"]
"""The policy if Redis does not answer: raise ``RedisUnavailableError``, allow all, deny all, or count in the
process.
"""

_log = logging.getLogger("plainsql.limits")

_PACKAGE = "plainsql.limits"
# Between two attempts while Redis does not answer: a call should not cost a whole deadline each time.
_REDIS_RETRY_S = 1.0
# A wait this short is rounded up to it; what the bucket gains in the meantime is not lost.
_MIN_SLEEP_S = 0.001


class _Answer(NamedTuple):
    decision: Decision
    time_us: int
    outcomes: list[Outcome]


class Limits:
    """Makes limits that share a connection to Redis, and decides on several of them in one atomic step.

    ``redis`` is a client of redis-py, a ``RedisConnection``, a URL, or nothing for the configured one.
    ``deadline`` is the limit of one call to Redis, in seconds. ``without_redis`` is the policy if the call
    takes longer or fails; except with ``"raise"``, the next attempt comes a second later. With ``"local"``
    each process counts for itself: ``local_share`` is its part of every limit, such as 0.25 for one of four.

    Processes with the same ``prefix`` share their limits. By default it is the application's name (see
    ``plainsql.application``), so that applications which share a Redis do not count together.

    In a cluster, the subject decides about the slot of a limit's key, so that one step can decide on several
    limits of one subject; with ``tag``, all keys are in one slot.

    Raises ``OptionError`` if an argument is not of its kind, and ``SettingsError`` if nothing names the
    application.
    """

    def __init__(
        self,
        redis: RedisSource = None,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        deadline: float = 0.5,
        without_redis: WithoutRedis = "raise",
        local_share: float = 1.0,
    ) -> None:
        check(
            "Limits",
            redis=redis,
            prefix=prefix,
            tag=tag,
            deadline=deadline,
            without_redis=without_redis,
            local_share=local_share,
        )
        self._prefix = redis_prefix(prefix, "limits")
        self._link, self._owned = RedisConnection.of(redis)
        self._tag = None if tag is None else _named(tag)
        self._deadline = deadline
        self._without_redis = without_redis
        self._local = LocalLimits(Fraction(local_share).limit_denominator(1000) or Fraction(1, 1000))
        self._queue = FairQueue()
        self._away_until = 0.0
        self._is_away = False
        fork.watch(self)

    def bucket(
        self,
        name: str,
        *,
        rate: int,
        per: float = 1.0,
        burst: int | None = None,
        starts: Literal["full", "empty"] = "full",
    ) -> TokenBucket:
        """Make a token bucket for each subject: ``rate`` tokens every ``per`` seconds, at most ``burst``
        in one moment.

        ``burst`` is ``rate`` by default. A bucket that Redis does not hold is full: after an eviction it
        gives at most one burst too many. With ``starts="empty"`` it gives none, and a new subject waits for
        its first token.
        """
        check("bucket", name=name, rate=rate, per=per, burst=burst, starts=starts)
        return TokenBucket(self, _named(name), BucketRule.of(rate, per, burst, starts))

    def window(self, name: str) -> SlidingWindow:
        """Make sliding windows; each call gives the limit and the length."""
        check("window", name=name)
        return SlidingWindow(self, _named(name))

    async def consume(self, *charges: Charge) -> Decision:
        """Take from all the limits, or from none if one of them has not enough. One atomic step.

        A cancelled call may have taken; ``wait`` with ``timeout=0`` returns the tokens in that case.

        Raises ``BindError`` if a limit is charged twice, or if the keys are in several slots of a cluster.
        """
        return (await self._decide(charges, take=True)).decision

    async def check(self, *charges: Charge) -> Decision:
        """Return the decision that ``consume`` would make now, and take nothing."""
        return (await self._decide(charges, take=False)).decision

    async def wait(self, *charges: Charge, timeout: float | None = None) -> Decision:
        """Take from all the limits as soon as all have enough.

        Returns a refusal, with nothing taken, once it is clear that ``timeout`` seconds are not enough. The
        tasks of a process that wait for the same limit are served in their order; between processes the
        order is random. A cancelled wait has taken nothing: if the cancellation comes during a call to
        Redis, it waits for the answer and returns what was taken.
        """
        check("wait", timeout=timeout)
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        async with self._queue.turn([charge.key for charge in charges], end) as is_next:
            if not is_next:
                decision = await self.check(*charges)
                names = decision.refused_by or tuple(charge.name for charge in charges)
                return Decision(
                    False, decision.remaining, decision.retry_after, names, decision.without_redis
                )
            while True:
                decision = await self._consume_or_return(charges)
                if decision.allowed or (end is not None and loop.time() + decision.retry_after > end):
                    return decision
                await asyncio.sleep(max(decision.retry_after, _MIN_SLEEP_S))

    async def _consume_or_return(self, charges: tuple[Charge, ...]) -> Decision:
        call = asyncio.ensure_future(self._decide(charges, take=True))
        try:
            return (await asyncio.shield(call)).decision
        except asyncio.CancelledError:
            # The call is not abandoned here: its tokens would be lost. It ends within the deadline.
            await asyncio.wait([call])
            if not call.cancelled() and call.exception() is None:
                answer = call.result()
                if answer.decision.allowed and not answer.decision.without_redis:
                    await self._return_tokens(charges, answer)
            raise
        finally:
            call.cancel()  # only if a second cancellation ended the wait

    async def _return_tokens(self, charges: tuple[Charge, ...], answer: _Answer) -> None:
        arguments: list[str | int] = [answer.time_us]
        for charge, outcome in zip(charges, answer.outcomes, strict=True):
            arguments += [*charge.arguments(), outcome.credit]
        try:
            keys = [charge.key for charge in charges]
            await self._link.run(_return_tokens(), keys, arguments, deadline=self._deadline)
        except RedisUnavailableError:
            pass  # they stay taken: too few calls are allowed, never too many

    async def _decide(self, charges: tuple[Charge, ...], *, take: bool) -> _Answer:
        self._validate(charges)
        if self._away_until:
            if time.monotonic() < self._away_until:
                return self._answer_without_redis(charges, take=take)
            # This call tries Redis; the others do not wait for it.
            self._away_until = time.monotonic() + _REDIS_RETRY_S
        arguments: list[str | int] = ["take" if take else "look"]
        for charge in charges:
            arguments += charge.arguments()
        try:
            keys = [charge.key for charge in charges]
            reply: list[Any] = await self._link.run(_take(), keys, arguments, deadline=self._deadline)
        except RedisUnavailableError as error:
            if self._without_redis == "raise":
                raise
            if not self._is_away:
                self._is_away = True
                # Counting in the process was requested; allowing or denying all deserves a warning.
                level = logging.INFO if self._without_redis == "local" else logging.WARNING
                _log.log(level, "limits without Redis (%s): %s", self._without_redis, error.message)
            self._away_until = time.monotonic() + _REDIS_RETRY_S
            return self._answer_without_redis(charges, take=take)
        self._away_until = 0.0
        if self._is_away:
            self._is_away = False
            _log.info("limits count in Redis again")
        outcomes = [Outcome(bool(reply[i]), *reply[i + 1 : i + 4]) for i in range(2, len(reply), 4)]
        return _Answer(_decision(charges, outcomes), reply[0], outcomes)

    def _answer_without_redis(self, charges: tuple[Charge, ...], *, take: bool) -> _Answer:
        if self._without_redis == "local":
            outcomes = self._local.decide(charges, take=take)
        elif self._without_redis == "allow":
            outcomes = [Outcome(True, charge.rule.most, 0) for charge in charges]
        else:
            outcomes = [Outcome(False, 0, round(_REDIS_RETRY_S * 1_000_000)) for _ in charges]
        return _Answer(_decision(charges, outcomes, without_redis=True), 0, outcomes)

    def _validate(self, charges: tuple[Charge, ...]) -> None:
        keys = {charge.key for charge in charges}
        if len(keys) < len(charges) or not charges:
            raise BindError("a call needs at least one limit, and each of them once")
        if self._link.is_cluster and len({_tag(key) for key in keys}) > 1:
            raise BindError(
                "limits of several subjects are in several slots of the cluster",
                hint="give Limits a tag, or charge one subject at a time",
            )

    def _key(self, name: str, subject: Subject, more: str = "") -> str:
        text = in_braces(subject_text(subject))
        if self._tag is None:
            return f"{self._prefix}:{name}:{{{text}}}{more}"
        text = text.replace(":", "%3A")  # what follows a colon is a window's length
        return f"{self._prefix}:{name}:{{{self._tag}}}:{text}{more}"

    def abandon_to_parent(self) -> None:
        """Forget the tasks that wait, in a forked child: they are the parent's."""
        self._queue = FairQueue()

    async def aclose(self) -> None:
        """Close the connections to Redis, unless a client or a link was given."""
        if self._owned:
            await self._link.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _named(name: object) -> str:
    """Return the name of a limit, which keys begin with."""
    if not isinstance(name, str):
        raise BindError(f"name: expected a str, got {type(name).__name__}")
    text = text_of("name", name)
    if not {"{", "}"}.isdisjoint(text):
        raise BindError("name: expected no braces, which would choose the slot of a cluster")
    return text


@cache
def _take() -> Script:
    return Script.read(_PACKAGE, "state.lua", "take.lua")


@cache
def _return_tokens() -> Script:
    return Script.read(_PACKAGE, "state.lua", "return_tokens.lua")


def _decision(
    charges: tuple[Charge, ...], outcomes: list[Outcome], *, without_redis: bool = False
) -> Decision:
    refused = [i for i, outcome in enumerate(outcomes) if not outcome.enough]
    return Decision(
        not refused,
        min(outcome.left for outcome in outcomes),
        # Rounded up: a caller that comes back then must find enough.
        max(outcome.wait_us for outcome in outcomes) / 1_000_000,
        tuple(charges[i].name for i in refused),
        without_redis,
    )


def _tag(key: str) -> str:
    return key[key.index("{") + 1 : key.index("}")]
