"""Audits in which all processes take part that share a store in Redis: asked for and answered by keys there.

Only the processes can read a hit again: the arguments are theirs. Each looks every few seconds whether an
audit is asked for, in the background, and adds to its numbers what it has found.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

import msgspec

from plainsql.cache.auditor import MOST_FOUND, Auditor, AuditReport
from plainsql.cache.stats import Violation
from plainsql.errors import CacheError
from plainsql.redis_connection import RedisConnection, Script

__all__ = ["EVERY", "AuditRequest", "AuditResult", "QueryAudit", "SharedAudit", "follow"]

EVERY: Final = 2.0
"""Seconds after which a process looks again whether an audit is asked for."""

_KEPT = 60.0
"""Seconds that results are kept for who has asked."""

_LAST_AUDITS = 2.0
"""Seconds that a process waits at the end for what it is reading again."""

_DEADLINE = 1.0
_HERE = "plainsql.cache"


class AuditRequest(NamedTuple):
    """An audit that is asked for, as a process sees it."""

    id: str
    rate: float
    rest: float
    """Seconds; 0 or less: it is over, and reports of it still count."""


class QueryAudit(msgspec.Struct, frozen=True):
    """What was found of one query."""

    query: str
    audited: int
    violations: int


class AuditResult(msgspec.Struct, frozen=True):
    """What all processes have found so far."""

    processes: int
    """That have heard of it."""
    done: int
    """That have said their last."""
    queries: tuple[QueryAudit, ...]
    """By name."""
    found: tuple[Violation, ...]
    """The last violations."""

    @property
    def audited(self) -> int:
        return sum(each.audited for each in self.queries)

    @property
    def violations(self) -> int:
        return sum(each.violations for each in self.queries)


class SharedAudit:
    """The audit of one namespace in Redis. There is one at a time."""

    def __init__(self, link: RedisConnection, home: str) -> None:
        self._link = link
        self._keys = [f"{home}:audit", f"{home}:audit:found"]

    async def ask(self, rate: float, seconds: float) -> str:
        """Ask all processes to read a part of their hits again, and return the audit's id.

        Raises ``CacheError`` where one is under way, ``RedisUnavailableError`` where Redis does not answer.
        """
        token = os.urandom(9).hex()
        arguments: list[bytes | str | int] = [
            token,
            repr(rate),
            round(seconds * 1000),
            round(_KEPT * 1000),
        ]
        rest = await self._link.run(_ask(), self._keys, arguments, deadline=_DEADLINE)
        if rest:
            raise CacheError(
                f"another audit is under way, for {rest / 1000:.0f} s more", hint="try again after it"
            )
        return token

    async def report(self, id: str, counts: Mapping[str, int], found: list[Violation]) -> AuditRequest | None:
        """Add to the numbers of an audit, and return which one is asked for."""
        # As text: what unpacks it in Redis knows no bytes.
        packed = _encode((dict(counts), [msgspec.json.encode(each).decode() for each in found]))
        reply = await self._link.run(_audit(), self._keys, [id, packed, MOST_FOUND], deadline=_DEADLINE)
        return AuditRequest(reply[0].decode(), float(reply[1]), reply[2] / 1000) if reply else None

    async def tally(self, id: str, *, remove: bool = False) -> AuditResult:
        """Return what was found so far; with ``remove`` the audit ends, wherever it stands.

        Raises ``CacheError`` where Redis has lost it, ``RedisUnavailableError`` where it does not answer.
        """
        reply = await self._link.run(_tally(), self._keys, [id, int(remove)], deadline=_DEADLINE)
        if not reply:
            raise CacheError("Redis has lost the audit", hint="was it restarted, or does it evict? Ask again")
        fields, found = reply
        numbers = {
            field.decode(): int(value)
            for field, value in zip(fields[::2], fields[1::2], strict=True)
            if field not in (b"id", b"rate", b"until")
        }
        names = sorted({field[2:] for field in numbers if field[1:2] == " "})
        return AuditResult(
            numbers.get("processes", 0),
            numbers.get("done", 0),
            tuple(
                QueryAudit(name, numbers.get(f"a {name}", 0), numbers.get(f"v {name}", 0)) for name in names
            ),
            tuple(_decode_violation(each) for each in found),
        )


async def follow(audits: SharedAudit, auditor: Auditor, *, every: float = EVERY) -> None:
    """Take part in the audits that are asked for, until cancelled. Redis may be away at any time."""
    before = ""
    while True:
        try:
            request = await audits.report("", {}, [])
        except Exception:  # noqa: BLE001 (Redis is away, or is none: nobody asks for anything then)
            request = None
        if request is not None and request.rest > 0 and request.id != before:
            before = request.id
            await _take_part(audits, auditor, request, every)
        # Not all processes of a deployment at one moment.
        await asyncio.sleep(every * random.uniform(0.5, 1.0))


async def _take_part(audits: SharedAudit, auditor: Auditor, request: AuditRequest, every: float) -> None:
    loop = asyncio.get_running_loop()
    ends = loop.time() + request.rest
    report = auditor.begin(request.rate)
    report.counts["processes"] = 1
    try:
        while await _send_report(audits, request.id, report):
            rest = ends - loop.time()
            if rest <= 0:
                break
            await asyncio.sleep(min(every, rest))
        else:
            return  # it was taken back
        auditor.pick_no_more()
        await auditor.wait_until_idle(_LAST_AUDITS)
        report.counts["done"] = 1
        await _send_report(audits, request.id, report)
    except asyncio.CancelledError:
        # The process ends before the audit does: what it has found counts.
        report.counts["done"] = 1
        await _send_report(audits, request.id, report)
        raise
    finally:
        auditor.end()


async def _send_report(audits: SharedAudit, id: str, report: AuditReport) -> bool:
    """Tell what was found since the last time; return False where the audit is there no more."""
    counts, found = report.counts, report.found
    report.counts, report.found = Counter(), []
    try:
        request = await audits.report(id, counts, found)
    except Exception:  # noqa: BLE001 (Redis is away, or is none: it is told the next time)
        report.counts += counts
        report.found = [*found, *report.found][-MOST_FOUND:]
        return True
    return request is not None and request.id == id


_encode = msgspec.msgpack.Encoder().encode
_decode_violation = msgspec.json.Decoder(Violation).decode


@cache
def _audit() -> Script:
    return Script.read(_HERE, "audit_report.lua")


@cache
def _ask() -> Script:
    return Script.read(_HERE, "audit_request.lua")


@cache
def _tally() -> Script:
    return Script.read(_HERE, "audit_result.lua")
