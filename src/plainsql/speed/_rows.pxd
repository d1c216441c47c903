# Readers of rows: from the bytes of a DataRow message to structs.

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int32_t

from asyncpg.protocol.protocol cimport Codec, ConnectionSettings
from plainsql.speed._wire cimport RowReader


@cython.final
cdef class Maker:
    # Makes structs, or tuples, of values in an array.

    cdef:
        object target
        ssize_t count
        tuple offsets
        ssize_t* slots

    cdef PyObject* make(self, PyObject** values) noexcept


@cython.final
cdef class Column:
    # What becomes of the bytes of a value.

    cdef:
        int kind
        Codec codec
        ConnectionSettings settings
        object plan
        object decode
        object json
        tuple labels
        tuple members
        Column element
        tuple parts
        Maker maker
        object refused_elements
        bint found_null
        bint was_none
        object target

    cdef int _kind(self, plan)
    cdef int _kind_of_function(self)
    cdef int _kind_of_decoder(self)
    cdef PyObject* value(self, const char* p, ssize_t size) noexcept
    cdef PyObject* _member(self, const char* p, ssize_t size) noexcept
    cdef PyObject* _json(self, const char* p, ssize_t size) noexcept
    cdef PyObject* _by_c_decoder(self, const char* p, ssize_t size) noexcept
    cdef PyObject* _by_codec(self, const char* p, ssize_t size) noexcept
    cdef PyObject* _array(self, const char* p, ssize_t size) noexcept
    cdef PyObject* _elements(
        self, const char** at, const char* end, int32_t* sizes, int32_t dimensions
    ) noexcept
    cdef PyObject* _composite(self, const char* p, ssize_t size) noexcept
    cdef bint _read_parts(self, const char* p, const char* end, PyObject** values, ssize_t count) noexcept
    cdef object slow_value(self, const char* p, ssize_t size)


@cython.final
cdef class Part:
    # A row within a row, or the whole.

    cdef:
        Maker maker
        ssize_t start
        ssize_t end
        bint nullable
        tuple fields

    cdef PyObject* make(self, PyObject** values, const char* nulls) noexcept


@cython.final
cdef class StructReader(RowReader):
    cdef:
        object plan
        tuple columns
        ssize_t width
        ssize_t described
        Maker maker
        Part part
        object width_error
        tuple checks
        bint is_value

    cdef int fill(self, PyObject** values, char* nulls, ssize_t* filled, const char* data, ssize_t size) except -1
    cdef int refuse_nulls(self, const char* nulls) except -1
