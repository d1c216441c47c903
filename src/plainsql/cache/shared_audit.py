"""Audits in which all processes take part that share a store in Redis: requested and reported through keys
there.

Only a process can read its hits again, because the arguments are its own. In the background each process
checks every few seconds whether an audit is requested, and adds its findings to the numbers.
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

from plainsql.cache.auditor import MAX_VIOLATIONS, Auditor, AuditReport
from plainsql.cache.stats import Violation
from plainsql.errors import CacheError
from plainsql.redis_connection import RedisConnection, Script

__all__ = ["CHECK_EVERY_S", "AuditRequest", "AuditResult", "QueryAudit", "SharedAudit", "follow"]

CHECK_EVERY_S: Final = 2.0
"""Seconds between a process's checks for a requested audit."""

_KEPT_S = 60.0
"""Seconds that results are kept after the end of the audit."""

_LAST_AUDITS_S = 2.0
"""Seconds that a process waits at the end for the hits that it is reading again."""

_DEADLINE_S = 1.0
_PACKAGE = "plainsql.cache"


class AuditRequest(NamedTuple):
    """A requested audit, as a process gets it."""

    id: str
    rate: float
    rest: float
    """The seconds that are left; 0 or less: it is over, but reports still count."""


class QueryAudit(msgspec.Struct, frozen=True):
    """The findings about one query."""

    query: str
    audited: int
    violations: int


class AuditResult(msgspec.Struct, frozen=True):
    """The findings of all processes so far."""

    processes: int
    """The number of processes that take part."""
    done: int
    """The number of processes that have finished."""
    queries: tuple[QueryAudit, ...]
    """The findings, by name."""
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

    async def request(self, rate: float, seconds: float) -> str:
        """Request an audit of a part of the hits from all processes, and return its id.

        Raises ``CacheError`` if another one is in progress, ``RedisUnavailableError`` if Redis does not
        answer.
        """
        token = os.urandom(9).hex()
        arguments: list[bytes | str | int] = [
            token,
            repr(rate),
            round(seconds * 1000),
            round(_KEPT_S * 1000),
        ]
        rest = await self._link.run(_request_script(), self._keys, arguments, deadline=_DEADLINE_S)
        if rest:
            raise CacheError(
                f"another audit is in progress, for {rest / 1000:.0f} s more", hint="try again after it"
            )
        return token

    async def report(self, id: str, counts: Mapping[str, int], found: list[Violation]) -> AuditRequest | None:
        """Add findings to the numbers of an audit, and return the requested audit, if there is one."""
        # As text: the library that unpacks it in Redis has no type for bytes.
        packed = _encode((dict(counts), [msgspec.json.encode(each).decode() for each in found]))
        reply = await self._link.run(
            _report_script(), self._keys, [id, packed, MAX_VIOLATIONS], deadline=_DEADLINE_S
        )
        return AuditRequest(reply[0].decode(), float(reply[1]), reply[2] / 1000) if reply else None

    async def result(self, id: str, *, remove: bool = False) -> AuditResult:
        """Return the findings so far; ``remove`` ends the audit.

        Raises ``CacheError`` if Redis has lost it, ``RedisUnavailableError`` if it does not answer.
        """
        reply = await self._link.run(_result_script(), self._keys, [id, int(remove)], deadline=_DEADLINE_S)
        if not reply:
            raise CacheError(
                "Redis has lost the audit", hint="request it again; Redis was restarted, or evicts keys"
            )
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


async def follow(audits: SharedAudit, auditor: Auditor, *, every: float = CHECK_EVERY_S) -> None:
    """Take part in requested audits until cancelled. Redis may be unreachable at any time."""
    before = ""
    while True:
        try:
            request = await audits.report("", {}, [])
        except Exception:  # noqa: BLE001 (without Redis there are no requests)
            request = None
        if request is not None and request.rest > 0 and request.id != before:
            before = request.id
            await _take_part(audits, auditor, request, every)
        # Jitter: not all processes of a deployment at one moment.
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
            return  # the request was withdrawn
        auditor.pick_no_more()
        await auditor.wait_until_idle(_LAST_AUDITS_S)
        report.counts["done"] = 1
        await _send_report(audits, request.id, report)
    except asyncio.CancelledError:
        # The process ends before the audit: its findings count.
        report.counts["done"] = 1
        await _send_report(audits, request.id, report)
        raise
    finally:
        auditor.end()


async def _send_report(audits: SharedAudit, id: str, report: AuditReport) -> bool:
    """Send the findings since the last report. Return False if the audit is gone."""
    counts, found = report.counts, report.found
    report.counts, report.found = Counter(), []
    try:
        request = await audits.report(id, counts, found)
    except Exception:  # noqa: BLE001 (without Redis, the next report has them)
        report.counts += counts
        report.found = [*found, *report.found][-MAX_VIOLATIONS:]
        return True
    return request is not None and request.id == id


_encode = msgspec.msgpack.Encoder().encode
_decode_violation = msgspec.json.Decoder(Violation).decode


@cache
def _report_script() -> Script:
    return Script.read(_PACKAGE, "audit_report.lua")


@cache
def _request_script() -> Script:
    return Script.read(_PACKAGE, "audit_request.lua")


@cache
def _result_script() -> Script:
    return Script.read(_PACKAGE, "audit_result.lua")
