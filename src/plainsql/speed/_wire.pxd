# The protocol of a connection whose rows are read by readers of ours, and the steps that it exchanges.

from asyncpg.pgproto.pgproto cimport ReadBuffer
from asyncpg.protocol.protocol cimport BaseProtocol, PreparedStatementState


cdef class RowReader:
    # Reads the rows of one statement's result on one connection.

    cdef object read(self, const char* data, ssize_t size)


cdef class NumberedReader(RowReader):
    # Reads the rows of a statement that answers several calls.

    cdef:
        RowReader reader
        readonly list calls


cdef class Step:
    # One Bind and Execute, and what came back.

    cdef:
        PreparedStatementState statement
        object values
        readonly RowReader reader
        bint drop_rows
        bint synced
        object waiter
        readonly list rows
        readonly object error
        readonly bytes status_bytes
        readonly bint done
        readonly double elapsed_s
        readonly bint is_unfit
        readonly bint has_failed
        readonly bint is_joint

    cdef settle(self)


cdef class WireProtocol(BaseProtocol):
    cdef:
        tuple _steps
        Step _step
        ssize_t _at
        readonly int syncs
        readonly double since
        readonly dict readers

    cdef _send(self, tuple steps, timeout)
    cdef _begin_step(self, ssize_t at)
    cdef _fail_step(self, object error)
    cdef _end_group(self)
    cdef _read_rows(self)
    cdef _fill(self, packet, Step step, bint again)
    cdef _write_steps(self, tuple steps, packet, timeout)


cdef object read_rows(ReadBuffer buffer, RowReader reader, PreparedStatementState statement, list rows)
cdef discard_rows(ReadBuffer buffer)
