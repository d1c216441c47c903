"""A pipeline of reads: calls of any reads and tenants that share one round trip on a connection.

Each call is a Bind and an Execute of its read's prepared statement. A tenant's settings go in front of a
call's statement, and a Sync after it: they are gone before the next call's. Many calls of one read by its key
are one batched statement.

Calls without settings that are hardly any work share one Sync, behind all others: a Sync costs the server a
transaction and a message to the network. The error of one skips those behind it. So none of them gets it, and
each is sent again with a Sync of its own: the reads are proved to change nothing. Some pipelines have a Sync
after each call, to measure what a call costs.
"""

from __future__ import annotations

import asyncio
import copy
from time import perf_counter
from typing import Any

import msgspec
from asyncpg import Record, exceptions

from plainsql.database.execution import driver
from plainsql.database.execution.errors import is_lost
from plainsql.database.execution.prepared_statements import prepare
from plainsql.database.execution.read_costs import ReadCosts
from plainsql.database.execution.time_limit import TimeLimit
from plainsql.database.pool.call import Call
from plainsql.database.pool.tenant_settings import LocalSettings, prepare_settings, ready_step
from plainsql.query import Args
from plainsql.speed.loaded import NUMBERED_READER, STEP
from plainsql.sqlstate_errors import is_own

__all__ = ["ALONE", "ReadPipeline", "SharedCall"]

ALONE: Any = ["alone"]
"""The result of a call that is to run alone, in its caller's own task."""

_MAX_BYTES = 96 * 1024
"""The most bytes of a pipeline: the calls behind large arguments would wait for the network."""

_FEW_CALLS = 4
"""So few calls are not worth a batched statement."""

_JOINT_S = 0.004
"""The most seconds of work of the calls that share a Sync: none is answered before all have run."""

_NEARLY = 0.9
"""A call that has had this share of its time limit has used it up."""

_NOT_UNDERSTOOD_CLASSES = ("42", "0A", "54")
"""The classes of SQLSTATE by which PostgreSQL refuses a statement's text, for its content or its size."""


class SharedCall(msgspec.Struct, eq=False):
    """A call that waits for its pipeline, or for its rows."""

    read: ReadCosts
    values: Args
    settings: LocalSettings | None
    record: Call | None
    """Its record for the hook."""
    future: asyncio.Future[Any]
    """Gets its rows, the server's error, or ``ALONE``."""
    is_built: bool = False
    """True if the rows are built, False if they are records."""
    is_single: bool = False
    """True if it failed together with others: the next time it is a statement with a Sync of its own."""
    pipeline: ReadPipeline | None = None


class ReadPipeline:
    """Calls that share a round trip."""

    __slots__ = (
        "_joint",
        "_protocol",
        "_units",
        "again",
        "calls",
        "connection",
        "counted",
        "is_measured",
        "is_slow",
        "left",
        "sent_at",
        "task",
    )

    def __init__(self, calls: list[SharedCall], *, is_measured: bool) -> None:
        self.calls = calls
        self.is_measured = is_measured
        self.task: asyncio.Task[object] | None = None
        self.counted = True
        """True while it takes one of the places of pipelines in progress."""
        self.left = 0
        """The calls without an answer when it was last looked at; 0 before it had a connection."""
        self.sent_at = 0.0
        """The time at which it got a connection; 0 before."""
        self.again: list[SharedCall] = []
        """Calls of batched statements that failed: to be sent again, one by one."""
        self.connection: Any = None
        self._protocol: Any = None
        """The protocol of the connection. A lost connection has none any more."""
        self._units: list[list[SharedCall]] = []
        """The calls of each statement, in the order in which they were sent."""
        self._joint = 0
        """The number of units, at the end, that share a Sync."""
        self.is_slow = False
        """True if calls that share a Sync took long, or one of them failed."""
        for call in calls:
            call.pipeline = self

    @property
    def in_flight(self) -> int:
        """The number of statements without an answer."""
        if self._protocol is None:
            return len(self.calls)
        syncs: int = self._protocol.syncs
        return syncs + self._joint - 1 if syncs and self._joint else syncs

    @property
    def is_answered(self) -> bool:
        return all(call.future.done() for call in self.calls)

    def unanswered(self) -> list[SharedCall]:
        """Return the calls without an answer, in their order."""
        return [call for call in self.calls if not call.future.done()]

    async def send(self, connection: Any) -> None:
        """Send the calls, and return when all of them are answered."""
        calls = self.unanswered()
        if not calls:
            return
        self.connection = connection
        self._protocol = connection._protocol
        self.sent_at = perf_counter()
        if calls[0].record is not None:  # there is a hook, so every call has a record
            for call in calls:
                if call.record is not None:
                    call.record.joined, call.record.lease_wait = len(calls), self.sent_at - call.record.began
        if connection._query_loggers:
            _leave_alone(calls)
            return
        self._units = _divided(calls, connection)
        if len(calls) > 1 and not self.is_measured:
            self._join()
        statements = await self._prepare(connection)
        steps: list[Any] = []
        sent: list[tuple[Any, list[SharedCall]]] = []
        joint_from, joint = len(self._units) - self._joint, 0
        for index, unit in enumerate(self._units):
            first = unit[0]
            if len(unit) == 1 and first.future.done():
                continue
            statement = statements[first.read, len(unit) > 1]
            if statement is None:
                _leave_alone(unit)
                continue
            is_joint = index >= joint_from
            step = self._step(connection, statement, unit, is_joint=is_joint)
            if step is None:  # its values cannot be batched
                self._again(unit)
                continue
            if first.settings is not None:
                settings = ready_step(connection, first.settings)
                if settings is None:
                    _leave_alone(unit)
                    continue
                steps.append(settings)
            steps.append(step)
            sent.append((step, unit))
            joint += is_joint
        if steps:
            await self._protocol.exchange_each(tuple(steps), None, _MAX_BYTES, joint)
            await self._finish(connection, sent)

    def rescue(self) -> None:
        """Have the calls run alone that wait for one that takes long."""
        head = self._head()
        if self._joint:
            self.is_slow = True
        _leave_alone([call for call in self.unanswered() if call is not head])

    def fail(self, error: Exception) -> None:
        """Answer the calls that the failure of the whole pipeline has left without an answer."""
        calls = self.unanswered()
        if is_own(error):  # there was no connection: the same for every call
            for call in calls:
                call.future.set_exception(_copy(error))
            return
        if isinstance(error, TimeoutError) and (head := self._head()) and self._had_its_time():
            head.future.set_exception(error)
        _leave_alone(calls)

    def leave_alone(self) -> None:
        """Have the calls without an answer run alone."""
        _leave_alone(self.calls)

    # --------------------------------------------------------------------------------------------------

    def _join(self) -> None:
        """Move the calls that share a Sync to the end."""
        own: list[list[SharedCall]] = []
        joint: list[list[SharedCall]] = []
        left_s = _JOINT_S
        for unit in self._units:
            call = unit[0]
            work_s = 0.0
            if call.settings is None and not call.is_single:
                work_s = call.read.light_s * len(unit)
            if 0.0 < work_s < left_s:
                left_s -= work_s
                joint.append(unit)
            else:
                own.append(unit)
        if len(joint) > 1:
            self._units = own + joint
            self._joint = len(joint)

    async def _prepare(self, connection: Any) -> dict[tuple[ReadCosts, bool], Any]:
        """Return the prepared statement by read, and by whether it is the batched one.

        It is None if it cannot be prepared: then the calls run alone, and raise the reason.
        """
        cache = connection._stmt_cache
        found: dict[tuple[ReadCosts, bool], Any] = {}
        unprepared = has_waited = False
        for unit in self._units:
            first = unit[0]
            is_batch = len(unit) > 1
            if (first.read, is_batch) not in found:
                read = first.read
                sql = read.batched.sql if is_batch and read.batched is not None else read.text.sql
                statement = driver.ready(connection, sql, read.query) if sql else None
                found[read, is_batch] = statement
                unprepared = unprepared or statement is None
            if first.settings is not None and cache.get((first.settings.sql, Record, False)) is None:
                await prepare_settings(connection, first.settings, None)
                has_waited = True
        if not unprepared and not has_waited:
            return found
        limit = TimeLimit(connection)
        for read, is_batch in [*found]:
            if found[read, is_batch] is None and not self.is_answered:
                try:
                    found[read, is_batch] = await self._prepared(connection, read, limit, is_batch=is_batch)
                except Exception as error:
                    if is_lost(error) or isinstance(error, OSError):
                        raise
        # One may have been dropped from the cache for another, or by another connection in the meantime.
        return {
            key: statement if statement is not None and not statement.closed else None
            for key, statement in found.items()
        }

    @staticmethod
    async def _prepared(connection: Any, read: ReadCosts, limit: TimeLimit, *, is_batch: bool) -> Any:
        if not is_batch or read.batched is None:
            return await prepare(connection, read.text.sql, read.query, 0, limit.left)
        sql = await read.batched.make(connection)
        return await prepare(connection, sql, read.query, 1, limit.left)

    def _step(self, connection: Any, statement: Any, unit: list[SharedCall], *, is_joint: bool) -> Any:
        """Return the step of one call, or of a batched statement; None if its values cannot be batched."""
        first = unit[0]
        read, protocol = first.read, connection._protocol
        plan = read.query.plan
        if len(unit) == 1:
            reader = None
            if plan is not None:
                reader = driver.reader_of(protocol, statement, plan)
                first.is_built = True
            return STEP(
                statement,
                first.values,
                reader,
                synced=not is_joint,
                waiter=first.future,
                is_joint=is_joint,
            )
        batched = read.batched
        arguments = None if batched is None else batched.arguments([call.values for call in unit])
        if batched is None or arguments is None:
            return None
        plan = batched.plan
        if plan is None:
            return STEP(statement, arguments, synced=not is_joint, is_joint=is_joint)
        for call in unit:
            call.is_built = True
        reader = NUMBERED_READER(driver.reader_of(protocol, statement, plan), len(unit))
        waiter = [call.future for call in unit]
        return STEP(statement, arguments, reader, synced=not is_joint, waiter=waiter, is_joint=is_joint)

    async def _finish(self, connection: Any, sent: list[tuple[Any, list[SharedCall]]]) -> None:
        """Look at what came back for the others than single calls, and at what it cost."""
        stale: Exception | None = None
        first_step = sent[0][0]
        for step, unit in sent:
            if not step.done:  # it was not sent: the arguments are large
                _leave_alone(unit)
                continue
            error = step.error
            if error is not None:
                if isinstance(
                    error, exceptions.InvalidCachedStatementError | exceptions.OutdatedSchemaCacheError
                ):
                    stale = error
                has_joint_failed = step.is_joint and not step.is_unfit
                self.is_slow = self.is_slow or has_joint_failed
                if len(unit) > 1 and (step.has_failed or not has_joint_failed):
                    self._batch_failed(unit, error)
                elif has_joint_failed:  # by an error of its own, or of one in front
                    self._again(unit)
                continue
            if len(unit) > 1 and not unit[0].is_built:
                _divide(step.rows, unit)
            elif unit[0].is_single:
                unit[0].read.succeeded_alone()
            if self.is_measured and len(unit) == 1 and step is not first_step:
                # The time of the first step is that of the round trip too.
                unit[0].read.record_step(step.elapsed_s)
        if self.is_measured:
            self._compare_forms([unit for _, unit in sent])
        if isinstance(stale, exceptions.OutdatedSchemaCacheError):
            await connection.reload_schema_state()
        elif stale is not None:
            connection._drop_global_statement_cache()

    def _compare_forms(self, units: list[list[SharedCall]]) -> None:
        """Record what the calls of one read cost in the form that they had."""
        read = units[0][0].read
        is_batch = len(units[0]) > 1
        if is_batch == (len(units) == 1) and all(unit[0].read is read for unit in units):
            calls = len(units[0]) if is_batch else len(units)
            read.record_form(self._protocol.since - self.sent_at, calls, is_batch=is_batch)

    def _batch_failed(self, unit: list[SharedCall], error: Exception) -> None:
        read = unit[0].read
        if read.batched is not None:
            read.batched.forget()
            state: str | None = getattr(error, "sqlstate", None)
            if state is not None and state[:2] in _NOT_UNDERSTOOD_CLASSES:
                read.batch_refused()
        self._again(unit)

    def _again(self, unit: list[SharedCall]) -> None:
        for call in unit:
            if not call.future.done():
                call.is_single = True
                self.again.append(call)

    def _head(self) -> SharedCall | None:
        """Return the call whose own statement all others wait for; None if it is not known."""
        own = len(self._units) - self._joint
        for unit in self._units[:own]:
            if not all(call.future.done() for call in unit):
                return unit[0] if len(unit) == 1 else None
        return None

    def _had_its_time(self) -> bool:
        """Return whether the statement that all wait for has used up its time limit."""
        limit_s: float | None = self.connection._config.command_timeout
        return limit_s is not None and perf_counter() - self._protocol.since >= _NEARLY * limit_s


def _divided(calls: list[SharedCall], connection: Any) -> list[list[SharedCall]]:
    """Divide calls into those of each statement: one, or those that a batched statement answers."""
    if len(calls) < _FEW_CALLS:
        return [[call] for call in calls]
    units: list[list[SharedCall]] = []
    alike: dict[tuple[ReadCosts, Args | None], list[SharedCall]] = {}
    group: list[SharedCall] = []
    of: SharedCall | None = None
    for call in calls:
        if of is not None and call.read is of.read and call.settings is of.settings and not call.is_single:
            group.append(call)
        elif call.read.batched is None or call.is_single:
            units.append([call])
        else:
            of, settings = call, call.settings
            group = alike.setdefault((call.read, None if settings is None else settings.values), [])
            group.append(call)
    for (read, _), group in alike.items():
        size = read.batch_size(len(group), len(calls), connection) or 1
        units += [group[at : at + size] for at in range(0, len(group), size)]
    return units


def _divide(records: list[Any], unit: list[SharedCall]) -> None:
    """Divide the records of a batched statement by their last column, the number of the call."""
    found: list[list[Any]] = [[] for _ in unit]
    for record in records:
        found[record[-1] - 1].append(record[:-1])
    for call, rows in zip(unit, found, strict=True):
        if not call.future.done():
            call.future.set_result(rows)


def _leave_alone(calls: list[SharedCall]) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_result(ALONE)


def _copy(error: Exception) -> Exception:
    """Return the error for one more call: a traceback and notes belong to one."""
    own = copy.copy(error)
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    if notes := getattr(error, "__notes__", None):
        own.__notes__ = list(notes)
    return own
