# cython: language_level=3
"""asyncpg's protocol with two additions: rows are read by a `RowReader`, and several statements share a round
trip.

The messages are those of the extended query protocol (PostgreSQL's manual, "Message Flow"). A `Step` is a Bind
and an Execute. Steps up to a Sync are one implicit transaction: an error skips the rest of them.
"""

cimport cpython
from cpython.time cimport perf_counter
from libc.stdint cimport uint8_t, uint32_t

from asyncpg.pgproto.pgproto cimport ReadBuffer, WriteBuffer
from asyncpg.protocol.protocol cimport (
    PROTOCOL_BIND_EXECUTE,
    RESULT_OK,
    BaseProtocol,
    PreparedStatementState,
)

from asyncpg.exceptions import ConnectionDoesNotExistError, ProtocolError
from asyncpg.exceptions._base import PostgresError

__all__ = ["NumberedReader", "RowReader", "Step", "WireProtocol"]

cdef bytes _SYNC = b"S\x00\x00\x00\x04"


cdef class RowReader:
    """Reads the rows of one statement's result on one connection."""

    cdef object read(self, const char* data, ssize_t size):
        raise NotImplementedError


cdef class NumberedReader(RowReader):
    """Reads the rows of a statement that answers several calls, into a list for each call.

    The last column, an integer, is the number of the row's call, from 1. ``reader`` reads the columns before.
    """

    def __init__(self, RowReader reader not None, ssize_t calls):
        self.reader = reader
        self.calls = [[] for _ in range(calls)]

    cdef object read(self, const char* data, ssize_t size):
        cdef:
            const uint8_t* end = <const uint8_t*>data + size
            uint32_t number
        if size < 10 or end[-8] or end[-7] or end[-6] or end[-5] != 4:
            raise ProtocolError("the last column of the result row is not the number of a call")
        number = <uint32_t>end[-4] << 24 | <uint32_t>end[-3] << 16 | <uint32_t>end[-2] << 8 | end[-1]
        if number < 1 or number > <uint32_t>len(self.calls):
            raise ProtocolError(f"the result row is of call {number} of {len(self.calls)}")
        (<list>self.calls[number - 1]).append(self.reader.read(data, size))
        return None


cdef class Step:
    """One Bind and Execute, and what came back: ``rows`` and ``status``, or ``error``.

    ``reader`` makes the rows; without one they are asyncpg's records. ``drop_rows`` leaves them out.
    ``synced``: a Sync follows, so that an error of this step or before does not skip the next. ``waiter``: a
    future that gets the rows, or the error, as soon as the step's Sync is answered. ``elapsed_s``: the time
    until then since the Sync before it was answered, or since the steps were sent. ``is_unfit``: its values
    cannot be encoded. ``has_failed``: the error is its own, and not that of another step before the Sync.
    ``is_joint``: an error before the Sync, which skips the rest, is not given to the waiter.

    With a `NumberedReader`, ``waiter`` is a sequence of futures, one for each call. They get the rows of their
    calls, and nothing if the step failed.
    """

    def __init__(
        self,
        PreparedStatementState statement not None,
        values not None,
        RowReader reader=None,
        *,
        bint drop_rows=False,
        bint synced=True,
        waiter=None,
        bint is_joint=False,
    ):
        self.statement = statement
        self.values = values
        self.reader = reader
        self.drop_rows = drop_rows
        self.synced = synced
        self.waiter = waiter
        self.is_joint = is_joint
        self.rows = []

    @property
    def status(self):
        """The status of the command, such as ``INSERT 0 1``; empty if there is none."""
        return "" if self.status_bytes is None else self.status_bytes.decode()

    cdef settle(self):
        waiter = self.waiter
        if waiter is None:
            return
        if type(self.reader) is NumberedReader:
            if self.error is None:
                for one, rows in zip(waiter, (<NumberedReader>self.reader).calls):
                    if not one.done():
                        one.set_result(rows)
        elif not waiter.done():
            if self.error is None:
                waiter.set_result(self.rows)
            elif not self.is_joint or self.is_unfit:
                waiter.set_exception(self.error)


cdef object read_rows(ReadBuffer buffer, RowReader reader, PreparedStatementState statement, list rows):
    """Add the rows that have arrived to a list; without a reader, as records of the statement.

    Return the error of one that cannot be read, else None. Those behind it are discarded.
    """
    cdef:
        const char* data
        ssize_t size
        bytes message
        object row
    try:
        while buffer.take_message_type(b'D'):
            data = buffer.try_consume_message(&size)
            if data == NULL:
                message = buffer.consume_message()
                data = cpython.PyBytes_AS_STRING(message)
                size = cpython.PyBytes_GET_SIZE(message)
            if reader is None:
                row = statement._decode_row(data, size)
            else:
                row = reader.read(data, size)
            rows.append(row)
    except Exception as error:
        discard_rows(buffer)
        return error
    return None


cdef discard_rows(ReadBuffer buffer):
    """Discard the rows that have arrived."""
    while buffer.take_message_type(b'D'):
        buffer.discard_message()


cdef _settle_rest(tuple steps, object error):
    """Fail the steps that were not answered."""
    cdef Step step
    for step in steps:
        if step.done:
            continue
        step.done = True
        step.rows = None
        if isinstance(error, Exception):
            step.error = error
            step.settle()
        elif step.waiter is not None:
            step.waiter.cancel()


cdef class WireProtocol(BaseProtocol):
    """The protocol of one connection."""

    def __init__(self, addr, connected_fut, con_params, record_class, loop):
        BaseProtocol.__init__(self, addr, connected_fut, con_params, record_class, loop)
        self.readers = {}

    async def fetch_rows(self, PreparedStatementState statement, values, RowReader reader, timeout):
        """Return the rows of a statement, as ``reader`` makes them; records without one.

        Raises what ``bind_execute`` raises.
        """
        cdef Step step
        timeout = self._get_timeout_impl(timeout)
        if self._is_cancelling():
            timeout = await self._wait_for_cancellation(timeout)
        step = Step(statement, values, reader)
        await self._send((step,), timeout)
        if step.error is not None:
            raise step.error
        return step.rows

    async def exchange(self, tuple steps, timeout):
        """Send all steps in one round trip and wait until all are answered.

        The errors of the server are in the steps. Raises, before anything is sent, the error of values that
        cannot be encoded; afterwards the loss of the connection, and cancellation. The steps together must be
        short enough for one write: the caller limits them.
        """
        if not steps:
            return
        try:
            timeout = self._get_timeout_impl(timeout)
            if self._is_cancelling():
                # An earlier call: the steps end as this wait does if it is late or cancelled.
                timeout = await self._wait_for_cancellation(timeout)
            await self._send(steps, timeout)
        except BaseException as error:
            _settle_rest(steps, error)
            raise

    async def exchange_each(self, tuple steps, timeout, ssize_t most_bytes, ssize_t joint=0):
        """Send the steps of several calls in one round trip, and wait until those that were sent are answered.

        A call's steps end with a synced one. If values of theirs cannot be encoded, they are left out and have
        the error. Those that would make more than ``most_bytes`` together are left out too, and are not
        ``done``; the first call's are always sent. What this raises is not given to the waiters.

        The last ``joint`` steps are calls of one step each, without a Sync: one at the end is for all of them.
        """
        cdef:
            WriteBuffer packet = WriteBuffer.new()
            list sent = []
            ssize_t first = 0, index, length, joint_from = len(steps) - joint
            Step step
        timeout = self._get_timeout_impl(timeout)
        if self._is_cancelling():
            timeout = await self._wait_for_cancellation(timeout)
        self._check_state()
        for index in range(len(steps)):
            if not (<Step>steps[index]).synced and index < joint_from:
                continue
            length = packet._length
            group = steps[first : index + 1]
            first = index + 1
            try:
                for step in group:
                    self._fill(packet, step, True)
            except Exception as error:
                packet._length = length
                for step in group:
                    step.error = error
                    step.rows = None
                    step.done = True
                    step.is_unfit = True
                    step.settle()
                continue
            if packet._length > most_bytes and sent:
                packet._length = length
                break
            sent += group
        if sent:
            await self._write_steps(tuple(sent), packet, timeout)

    cdef _send(self, tuple steps, timeout):
        """Send steps and return the future of their end."""
        cdef:
            Step step
            WriteBuffer packet = WriteBuffer.new()
            # The statement without a name that the server has by then, unless an error skips it.
            PreparedStatementState last = None
        self._check_state()
        for step in steps:
            try:
                self._fill(packet, step, len(steps) > 1 and step.statement is not last)
            except Exception:
                step.is_unfit = True
                raise
            if step.synced:
                last = None
            elif not step.statement.name:
                last = step.statement
        return self._write_steps(steps, packet, timeout)

    cdef _write_steps(self, tuple steps, packet, timeout):
        """Write encoded steps and return the future of their end."""
        cdef:
            Step step
            WriteBuffer buffer = packet
            int syncs = 0
        for step in steps:
            syncs += step.synced
        if not step.synced:
            buffer.write_bytes(_SYNC)
            syncs += 1
        waiter = self._new_waiter(timeout)
        try:
            self._ensure_connected()
            self._set_state(PROTOCOL_BIND_EXECUTE)
            self._steps = steps
            self.syncs = syncs
            self._begin_step(0)
            self.queries_count += len(steps)
            self._write(buffer)
            self.since = perf_counter()
        except Exception as error:
            self.syncs = 0
            self._steps = None
            waiter.set_exception(error)
            self._coreproto_error()
        return waiter

    cdef _fill(self, packet, Step step, bint again):
        """Write the messages of a step. ``again``: prepare its statement once more if it has no name.

        A text that is too long for the cache is prepared without a name, and the server keeps one such
        statement: that of the text which was prepared last.
        """
        cdef:
            WriteBuffer buffer = packet
            PreparedStatementState statement = step.statement
            WriteBuffer values = statement._encode_bind_msg(step.values)
        if not statement.prepared or (again and not statement.name):
            buffer.write_buffer(self._build_parse_message(statement.name, statement.query))
        buffer.write_buffer(self._build_bind_message("", statement.name, values))
        buffer.write_buffer(self._build_execute_message("", 0))
        if step.synced:
            buffer.write_bytes(_SYNC)

    cdef _begin_step(self, ssize_t at):
        cdef Step step = self._steps[at]
        self._at = at
        self._step = step
        self.statement = step.statement
        self.last_query = step.statement.query

    cdef _fail_step(self, object error):
        # The error of a row that cannot be read does not hide one that came before.
        if self._step.error is None:
            self._step.error = error
            self._step.rows = None
            self._step.has_failed = True

    cdef _end_group(self):
        """The Sync of the current step's group was answered: its steps are done."""
        cdef:
            ssize_t count = len(self._steps)
            ssize_t at = self._at
            ssize_t first
            Step step
            double now = perf_counter()
        # The group: from the first step that is not done to its Sync.
        first = at
        while first > 0 and not (<Step>self._steps[first - 1]).done:
            first -= 1
        while at < count - 1 and not (<Step>self._steps[at]).synced:
            at += 1
        error = None
        for index in range(first, at + 1):
            step = self._steps[index]
            if step.error is not None:
                error = step.error
        for index in range(first, at + 1):
            step = self._steps[index]
            if error is not None and step.error is None:
                # Its rows were rolled back with the failed step of its group.
                step.error = error
                step.rows = None
            step.done = True
            step.elapsed_s = now - self.since
            step.settle()
        self.since = now
        if at + 1 < count:
            self._begin_step(at + 1)

    cdef _process__bind_execute(self, char mtype):
        cdef ReadBuffer buffer = self.buffer
        if self._steps is None:
            BaseProtocol._process__bind_execute(self, mtype)
        elif mtype == b'D':
            self._read_rows()
        elif mtype == b'C':
            self._parse_msg_command_complete()
            self._step.status_bytes = self.result_status_msg
            if self._at + 1 < len(self._steps) and not self._step.synced:
                self._begin_step(self._at + 1)
        elif mtype == b'I':
            buffer.discard_message()
            if self._at + 1 < len(self._steps) and not self._step.synced:
                self._begin_step(self._at + 1)
        elif mtype == b'E':
            self._parse_msg_error_response(True)
            # The result stays until the Sync: if the connection is lost instead, it says why.
            self._fail_step(PostgresError.new(self.result, query=self.last_query))
        elif mtype == b'Z':
            self._parse_msg_ready_for_query()
            self._push_result()
        else:
            buffer.discard_message()

    cdef _read_rows(self):
        cdef Step step = self._step
        if step.drop_rows or step.error is not None or self.waiter is None or self.waiter.done():
            discard_rows(self.buffer)
            return
        error = read_rows(self.buffer, step.reader, step.statement, step.rows)
        if error is not None:
            self._fail_step(error)

    cdef _parse_msg_ready_for_query(self):
        BaseProtocol._parse_msg_ready_for_query(self)
        if self.syncs:
            self.syncs -= 1

    cdef _push_result(self):
        if self._steps is None:
            BaseProtocol._push_result(self)
            return
        if self.waiter is not None and not self.waiter.done():
            if self.result_type != RESULT_OK:
                # Of the server, whose error the step has; or a message could not be read, and all that follows
                # is skipped.
                self._fail_step(self.result)
                if self.state == PROTOCOL_BIND_EXECUTE:
                    self.result_type = RESULT_OK
                    self.result = None
            self._end_group()
        if self.syncs == 0:
            self._steps = None
            self._step = None
            BaseProtocol._push_result(self)
