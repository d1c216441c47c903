# The reader of rows into columns.

from plainsql.speed._wire cimport RowReader


cdef class ColumnReader(RowReader):
    cdef:
        tuple builders
        tuple names
        str query
        str file
        ssize_t count
        readonly ssize_t rows
