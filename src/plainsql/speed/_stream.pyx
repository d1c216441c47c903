# cython: language_level=3
"""The rows of a statement in blocks: a portal of the server, which is asked for the next block while the caller
uses the last.

In the messages of PostgreSQL's manual ("Message Flow"): Bind with the name of a portal, then for each block an
Execute with a number of rows and a Sync. The portal lives until its transaction ends.
"""

from asyncpg.pgproto.pgproto cimport WriteBuffer
from asyncpg.protocol.protocol cimport (
    PROTOCOL_BIND_EXECUTE,
    PROTOCOL_ERROR_CONSUME,
    RESULT_OK,
    BaseProtocol,
    PreparedStatementState,
)
from plainsql.speed._wire cimport WireProtocol, discard_rows, read_rows

import asyncio

from asyncpg.exceptions._base import PostgresError

__all__ = ["Portal", "StreamProtocol"]

cdef bytes _SYNC = b"S\x00\x00\x00\x04"

cdef double _CLOSE_S = 0.1
"""A block that is on its way when the portal is closed is waited for so long, then cancelled: a request to
cancel is a connection."""


cdef class Portal:
    """The rows of one execution of a statement, ``limit`` at a time.

    With ``reads_ahead`` the server works on the next block while the caller uses the last; until `fetch` has
    returned an empty block, or `close`, nothing else can run on the connection. Without, the connection is
    free between the calls of `fetch`.
    """

    def __init__(
        self,
        StreamProtocol protocol not None,
        PreparedStatementState statement not None,
        values,
        RowReader reader not None,
        str name not None,
        int limit,
        bint reads_ahead,
    ):
        self.protocol = protocol
        self.statement = statement
        self.values = values
        self.reader = reader
        self.name = name
        self.limit = limit
        self.reads_ahead = reads_ahead
        self.rows = []
        self.blocks = []

    async def fetch(self, timeout=None):
        """Return the next rows, none at the end, within the time limit.

        Raises the error of values that cannot be encoded, before anything is sent, of the server, of a row that
        cannot be read, the loss of the connection, and cancellation.
        """
        cdef StreamProtocol protocol = self.protocol
        timeout = protocol._get_timeout_impl(timeout)
        if self.unanswered == 0 and protocol._is_cancelling():
            timeout = await protocol._wait_for_cancellation(timeout)
        self.request()
        # At the end, the answers to what was asked in vain.
        while self.lost is None and (self.unanswered if self.has_ended else not self.blocks):
            await self.wait(timeout)
        if self.blocks:
            block = self.blocks.pop(0)
            if type(block) is list:
                return block
            await self.close()
            raise block
        if self.lost is not None:
            raise self.lost
        return []

    async def close(self):
        """Make the connection free for other statements."""
        if self.unanswered == 0 or self.waiter.done():
            return
        try:
            await asyncio.wait((self.waiter,), timeout=_CLOSE_S)
        finally:
            self.cancel()

    async def wait(self, timeout):
        """Wait until an Execute is answered."""
        cdef StreamProtocol protocol = self.protocol
        self.arrival = protocol.create_future()
        if timeout is not None:
            protocol.timeout_handle = protocol.loop.call_later(timeout, protocol._on_timeout, self.waiter)
        try:
            await self.arrival
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self.arrival = None
            if protocol.timeout_handle is not None:
                protocol.timeout_handle.cancel()
                protocol.timeout_handle = None

    cdef int request(self) except -1:
        """Ask for this block, and for the next from the second on: the first may be all that is wanted."""
        cdef int wanted = 2 if self.reads_ahead and self.is_bound else 1
        while self.unanswered + len(self.blocks) < wanted and not self.has_ended and self.lost is None:
            self.send()
        return 0

    cdef int send(self) except -1:
        cdef:
            StreamProtocol protocol = self.protocol
            PreparedStatementState statement = self.statement
            WriteBuffer packet = WriteBuffer.new()
        if self.unanswered == 0:
            protocol._check_state()
        if not self.is_bound:
            values = statement._encode_bind_msg(self.values)
            if not statement.prepared:
                packet.write_buffer(protocol._build_parse_message(statement.name, statement.query))
            packet.write_buffer(protocol._build_bind_message(self.name, statement.name, values))
        packet.write_buffer(protocol._build_execute_message(self.name, self.limit))
        packet.write_bytes(_SYNC)
        if self.unanswered == 0:
            protocol._ensure_connected()
            self.waiter = protocol._new_waiter(None)
            self.waiter.add_done_callback(self._on_end)
            protocol._set_state(PROTOCOL_BIND_EXECUTE)
            protocol.statement = statement
            protocol.last_query = statement.query
            protocol._portal = self
        self.is_bound = True
        self.unanswered += 1
        protocol.queries_count += 1
        try:
            protocol._write(packet)
        except Exception as error:
            if not self.waiter.done():
                self.waiter.set_exception(error)
            protocol._coreproto_error()
            raise
        return 0

    cdef read_rows(self):
        if self.error is not None or self.has_ended or self.waiter.done():
            discard_rows(self.protocol.buffer)
        else:
            self.error = read_rows(self.protocol.buffer, self.reader, self.statement, self.rows)

    cdef end_block(self, object error):
        """An Execute was answered to its Sync; ``error``: that of a message that could not be read."""
        self.unanswered -= 1
        if self.error is None:
            self.error = error
        if not self.has_ended and not self.waiter.done():
            if self.error is not None:
                self.blocks.append(self.error)
                self.has_ended = True
            else:
                self.blocks.append(self.rows)
                self.has_ended = self.is_complete
        self.rows = []
        self.error = None
        self.wake()

    cdef wake(self):
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_result(None)

    cdef cancel(self):
        if self.unanswered and not self.waiter.done() and not self.protocol._is_cancelling():
            self.has_ended = True
            self.protocol._request_cancel()

    def _on_end(self, waiter):
        """All was answered, the time limit is over, or the connection is lost."""
        error = asyncio.CancelledError() if waiter.cancelled() else waiter.exception()
        if error is not None:
            self.lost = error
        self.wake()


cdef class StreamProtocol(WireProtocol):
    """The protocol of one connection."""

    cdef _process__bind_execute(self, char mtype):
        cdef Portal portal = self._portal
        if portal is None:
            WireProtocol._process__bind_execute(self, mtype)
        elif mtype == b'D':
            portal.read_rows()
        elif mtype == b'C' or mtype == b'I':
            self.buffer.discard_message()
            portal.is_complete = True
        elif mtype == b'E':
            self._parse_msg_error_response(True)
            # The result stays until the Sync: if the connection is lost instead, it says why.
            if portal.error is None:
                portal.error = PostgresError.new(self.result, query=self.last_query)
        elif mtype == b'Z':
            self._parse_msg_ready_for_query()
            self._push_result()
        else:
            self.buffer.discard_message()

    cdef _push_result(self):
        cdef Portal portal = self._portal
        if portal is None:
            WireProtocol._push_result(self)
            return
        portal.end_block(self.result if isinstance(self.result, Exception) else None)
        self.result_type = RESULT_OK
        self.result = None
        if portal.unanswered == 0:
            self._portal = None
            BaseProtocol._push_result(self)
        elif self.state == PROTOCOL_ERROR_CONSUME:
            self.state = PROTOCOL_BIND_EXECUTE
