# The rows of a statement in blocks, and the protocol of a connection that reads them.

from asyncpg.protocol.protocol cimport PreparedStatementState
from plainsql.speed._wire cimport RowReader, WireProtocol


cdef class Portal:
    cdef:
        StreamProtocol protocol
        PreparedStatementState statement
        RowReader reader
        object values
        str name
        int limit
        bint reads_ahead
        bint is_bound
        bint is_complete
        bint has_ended
        int unanswered
        list rows
        list blocks
        object error
        object lost
        object waiter
        object arrival

    cdef int request(self) except -1
    cdef int send(self) except -1
    cdef read_rows(self)
    cdef end_block(self, object error)
    cdef wake(self)
    cdef cancel(self)


cdef class StreamProtocol(WireProtocol):
    cdef Portal _portal
