# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rows read straight from the server's messages into structs.

A `StructReader` is made of a `RowPlan` for one prepared statement. It reads the types that are common by itself,
and hands the bytes of all others to asyncpg's codec. A codec that was set on the connection is always used.

Functions marked ``noexcept`` return NULL for a value that they do not read, with or without an error of Python.
The caller then clears the error and takes the slow way: asyncpg's codec and the Python function of the plan,
whose errors are the right ones. Nothing is read before the length of a value was compared with the end of the
message.
"""

from cpython cimport array as c_array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from asyncpg.pgproto cimport pgproto
from asyncpg.pgproto.pgproto cimport FRBuffer
from asyncpg.protocol.protocol cimport (
    CODEC_ARRAY,
    CODEC_C,
    CODEC_COMPOSITE,
    CODEC_MULTIRANGE,
    CODEC_PY,
    CODEC_RANGE,
    PG_FORMAT_BINARY,
    PG_XFORMAT_OBJECT,
    Codec,
    ConnectionSettings,
    PreparedStatementState,
)
from plainsql.speed._wire cimport RowReader

from array import array
from decimal import Decimal
from types import MemberDescriptorType

import msgspec
from asyncpg.exceptions import ProtocolError

from plainsql.encoding import jsonb_bytes
from plainsql.speed.row_plan import RowPart

__all__ = ["MessageReader", "StructReader", "read_message", "reader_of"]

cdef extern from "Python.h":
    PyObject* c_vectorcall "PyObject_Vectorcall"(PyObject*, PyObject**, size_t, PyObject*) noexcept
    PyObject* c_call "PyObject_CallOneArg"(PyObject*, PyObject*) noexcept
    PyObject* c_long "PyLong_FromLongLong"(long long) noexcept
    PyObject* c_unsigned "PyLong_FromUnsignedLong"(unsigned long) noexcept
    PyObject* c_float "PyFloat_FromDouble"(double) noexcept
    PyObject* c_text "PyUnicode_DecodeUTF8"(const char*, ssize_t, const char*) noexcept
    PyObject* c_ascii "PyUnicode_New"(ssize_t, Py_UCS4) noexcept
    void* c_characters "PyUnicode_1BYTE_DATA"(PyObject*) noexcept
    PyObject* c_bytes "PyBytes_FromStringAndSize"(const char*, ssize_t) noexcept
    object c_bytes_object "PyBytes_FromStringAndSize"(const char*, ssize_t)
    PyObject* c_view "PyMemoryView_FromMemory"(char*, ssize_t, int) noexcept
    PyObject* c_list "PyList_New"(ssize_t) noexcept
    void c_set "PyList_SET_ITEM"(PyObject*, ssize_t, PyObject*) noexcept
    PyObject* c_tuple "PyTuple_New"(ssize_t) noexcept
    void c_set_tuple "PyTuple_SET_ITEM"(PyObject*, ssize_t, PyObject*) noexcept
    void c_incref "Py_INCREF"(PyObject*) noexcept
    void c_decref "Py_DECREF"(PyObject*) noexcept
    void c_xdecref "Py_XDECREF"(PyObject*) noexcept
    void PyErr_Clear() noexcept
    PyObject* PyErr_NoMemory() noexcept
    PyObject* Py_True
    PyObject* Py_False
    PyObject* Py_None
    int PyBUF_READ
    ctypedef PyObject* (*c_alloc)(PyTypeObject*, ssize_t) noexcept
    ctypedef struct c_type "PyTypeObject":
        c_alloc tp_alloc

cdef extern from "structmember.h":
    int T_OBJECT_EX
    ctypedef struct PyMemberDef:
        int type
        ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member

cdef extern from "datetime.h":
    ctypedef struct PyDateTime_CAPI:
        PyTypeObject* DateType
        PyTypeObject* DateTimeType
        PyTypeObject* TimeType
        PyTypeObject* DeltaType
        PyObject* TimeZone_UTC
        PyObject* (*Date_FromDate)(int, int, int, PyTypeObject*) noexcept
        PyObject* (*DateTime_FromDateAndTime)(
            int, int, int, int, int, int, int, PyObject*, PyTypeObject*
        ) noexcept
        PyObject* (*Time_FromTime)(int, int, int, int, PyObject*, PyTypeObject*) noexcept
        PyObject* (*Delta_FromDelta)(int, int, int, int, PyTypeObject*) noexcept
    PyDateTime_CAPI* PyDateTimeAPI
    void PyDateTime_IMPORT()

PyDateTime_IMPORT

ctypedef PyObject* (*raw_decoder)(Codec, ConnectionSettings, FRBuffer*) noexcept
ctypedef PyObject* (*raw_c_decoder)(ConnectionSettings, FRBuffer*) noexcept

ctypedef PyObject* (*raw_maker)(Column, const char*, ssize_t) noexcept

cdef enum:
    BY_CODEC
    BY_C_DECODER
    BOOL
    INT2
    INT4
    INT8
    UINT4
    FLOAT4
    FLOAT8
    TEXT
    LABEL
    BYTES
    DATE
    TIME
    TIMESTAMP
    TIMESTAMPTZ
    INTERVAL
    NUMERIC
    JSON
    JSONB
    RAW_JSONB
    VECTOR
    HALF_VECTOR
    ARRAY
    COMPOSITE

cdef enum:
    # Rows of so many columns are read without memory of their own.
    IN_PLACE = 32
    MAX_DIMENSIONS = 6
    SHORT_JSON = 4096
    # Values in values, of anonymous records; types are not that deep.
    MAX_DEPTH = 100
    # Types by their numbers, which asyncpg reads by functions that it does not export.
    RECORD_OID = 2249
    TEXT_ARRAY_OID = 1009
    OID_ARRAY_OID = 1028
    # The flags of a range.
    RANGE_EMPTY = 1
    NO_LOWER_BOUND = 1 | 8 | 32
    NO_UPPER_BOUND = 1 | 16 | 64

cdef int64_t DAY_US = 86_400_000_000
cdef int64_t INFINITY_US = 0x7FFFFFFFFFFFFFFF
cdef int64_t NEGATIVE_INFINITY_US = <int64_t>0x8000000000000000
cdef PyObject* _DECIMAL = <PyObject*>Decimal
_kept = Decimal
cdef c_array.array _FLOATS = array("f")
cdef c_array.array _HALVES = array("H")


include "_values.pxi"
include "_sound_values.pxi"


# -- Structs ------------------------------------------------------------------------------------------------


cdef class Maker:
    """Makes structs of one type, or tuples, of values in an array."""

    def __cinit__(self, target, ssize_t count):
        self.target = target
        self.count = count
        self.slots = NULL
        if target is tuple:
            return
        self.offsets = _offsets(target, count)
        if self.offsets is not None:
            self.slots = <ssize_t*>PyMem_Malloc(max(count, 1) * sizeof(ssize_t))
            if self.slots == NULL:
                raise MemoryError
            for index in range(count):
                self.slots[index] = self.offsets[index]

    def __dealloc__(self):
        PyMem_Free(self.slots)

    cdef PyObject* make(self, PyObject** values) noexcept:
        """Return a struct, or NULL with an error. The references of the values are taken either way."""
        cdef:
            PyObject* made
            ssize_t index
        if self.slots != NULL:
            made = (<c_type*><PyObject*>self.target).tp_alloc(<PyTypeObject*><PyObject*>self.target, 0)
            if made != NULL:
                for index in range(self.count):
                    (<PyObject**>(<char*>made + self.slots[index]))[0] = values[index]
                    values[index] = NULL
        elif self.target is tuple:
            made = c_tuple(self.count)
            if made != NULL:
                for index in range(self.count):
                    c_set_tuple(made, index, values[index])
                    values[index] = NULL
        else:
            made = c_vectorcall(<PyObject*>self.target, values, self.count, NULL)
        _release(values, self.count)
        return made


cdef inline void _release(PyObject** values, ssize_t count) noexcept:
    cdef ssize_t index
    for index in range(count):
        c_xdecref(values[index])
        values[index] = NULL


cdef tuple _offsets(target, ssize_t count):
    """Return the places of the fields in a struct of this type, or None if its constructor must make it.

    A frozen struct outside of the garbage collector is its fields and nothing else: the fields of a new one
    are filled without a call of the constructor, which would copy the references once more.
    """
    cdef PyMemberDef* member
    config = getattr(target, "__struct_config__", None)
    if config is None or config.gc or config.weakref or config.dict or config.cache_hash:
        return None
    names = target.__struct_fields__
    if len(names) != count or hasattr(target, "__post_init__"):
        return None
    found = []
    for name in names:
        descriptor = getattr(target, name, None)
        if type(descriptor) is not MemberDescriptorType:
            return None
        member = (<PyMemberDescrObject*><PyObject*>descriptor).d_member
        if member.type != T_OBJECT_EX:
            return None
        found.append(member.offset)
    if len(set(found)) != count:
        return None
    return tuple(found)


# -- Columns ------------------------------------------------------------------------------------------------


cdef class Column:
    """What becomes of the bytes of a value, by its plan and the codec of the connection."""

    def __cinit__(self, plan, Codec codec, ConnectionSettings settings, int kind=BY_CODEC):
        self.plan = plan
        self.codec = codec
        self.settings = settings
        self.decode = None if plan is None else plan.decode
        self.kind = kind if codec is None else self._kind(plan)

    cdef int _kind(self, plan):
        cdef:
            Codec codec = self.codec
            Codec part
            Column column
            int kind
        if codec.type == CODEC_ARRAY:
            if codec.format != PG_FORMAT_BINARY:
                return BY_CODEC
            element = None if plan is None else plan.element
            if element is None and self.decode is not None:
                return BY_CODEC
            if codec.element_codec.type == CODEC_ARRAY:
                # A domain over an array: its decoder goes on in the same way.
                element = plan
            self.element = Column(element, codec.element_codec, self.settings)
            return ARRAY
        if plan is not None and plan.element is not None:
            return BY_CODEC
        if codec.type == CODEC_COMPOSITE:
            if (
                codec.format != PG_FORMAT_BINARY
                or plan is None
                or plan.composite is None
                or len(plan.parts) != len(codec.element_codecs)
                or len(plan.parts) != len(codec.element_type_oids)
            ):
                return BY_CODEC
            parts = []
            for at in range(len(plan.parts)):
                part = codec.element_codecs[at]
                parts.append(Column(plan.parts[at], part, self.settings))
            self.parts = tuple(parts)
            self.maker = Maker(plan.composite, len(parts))
            return COMPOSITE
        if codec.type == CODEC_PY:
            return self._kind_of_function()
        if codec.type != CODEC_C:
            return BY_CODEC
        if codec.kind == "array" and self.decode is None and codec.oid in (TEXT_ARRAY_OID, OID_ARRAY_OID):
            kind = TEXT if codec.oid == TEXT_ARRAY_OID else UINT4
            if kind == TEXT and not self.settings._is_utf8:
                return BY_CODEC
            self.element = Column(None, None, self.settings, kind)
            return ARRAY
        kind = self._kind_of_decoder()
        if plan is None:
            return kind
        if plan.labels is not None and kind == TEXT:
            self.labels = tuple([label.encode() for label in plan.labels])
            self.members = tuple(plan.labels.values())
            return LABEL
        return kind if self.decode is None else BY_CODEC

    cdef int _kind_of_function(self):
        """Return the kind of a codec that was set on the connection, if it is one of plainsql's."""
        cdef Codec codec = self.codec
        if codec.format != PG_FORMAT_BINARY or codec.xformat != PG_XFORMAT_OBJECT:
            return BY_CODEC
        if codec.py_decoder is bytes or codec.py_decoder is jsonb_bytes:
            is_jsonb = codec.py_decoder is jsonb_bytes
            if self.decode is None:
                return RAW_JSONB if is_jsonb else BYTES
            self.json = self.plan.json
            if self.json is not None:
                return JSONB if is_jsonb else JSON
            return BY_CODEC
        owner = getattr(codec.py_decoder, "__self__", None)
        if self.decode is not None or not isinstance(owner, type):
            return BY_CODEC
        if owner.__module__ != "plainsql.vector.pgvector_types":
            return BY_CODEC
        # Other versions of pgvector may keep the numbers in another way.
        self.target = owner
        if owner.__name__ == "Vector" and _is_kept(codec.py_decoder, b"\0\1\0\0\x3F\x80\0\0", array("f", [1.0])):
            return VECTOR
        if owner.__name__ == "HalfVector" and _is_kept(codec.py_decoder, b"\0\1\0\0\x3C\0", array("H", [0x3C00])):
            return HALF_VECTOR
        return BY_CODEC

    cdef int _kind_of_decoder(self):
        """Return the kind by asyncpg's own function, whatever type it was set for."""
        cdef void* decoder = <void*>self.codec.c_decoder
        if decoder == <void*>pgproto.text_decode:
            return TEXT if self.settings._is_utf8 else BY_C_DECODER
        if self.codec.format != PG_FORMAT_BINARY:
            return BY_CODEC
        if decoder == <void*>pgproto.int4_decode:
            return INT4
        if decoder == <void*>pgproto.int8_decode:
            return INT8
        if decoder == <void*>pgproto.timestamptz_decode:
            return TIMESTAMPTZ
        if decoder == <void*>pgproto.timestamp_decode:
            return TIMESTAMP
        if decoder == <void*>pgproto.date_decode:
            return DATE
        if decoder == <void*>pgproto.bool_decode:
            return BOOL
        if decoder == <void*>pgproto.numeric_decode_binary:
            return NUMERIC
        if decoder == <void*>pgproto.int2_decode:
            return INT2
        if decoder == <void*>pgproto.uint4_decode:
            return UINT4
        if decoder == <void*>pgproto.float4_decode:
            return FLOAT4
        if decoder == <void*>pgproto.float8_decode:
            return FLOAT8
        if decoder == <void*>pgproto.bytea_decode:
            return BYTES
        if decoder == <void*>pgproto.time_decode:
            return TIME
        if decoder == <void*>pgproto.interval_decode:
            return INTERVAL
        if decoder == <void*>pgproto.uuid_decode:
            return BY_C_DECODER
        return BY_CODEC

    cdef PyObject* value(self, const char* p, ssize_t size) noexcept:
        """Return the value, or NULL if it must be made in the slow way."""
        cdef int kind = self.kind
        if kind == TEXT:
            return _text(p, size)
        if kind == INT4:
            return c_long(_i32(p)) if size == 4 else NULL
        if kind == INT8:
            return c_long(_i64(p)) if size == 8 else NULL
        if kind == TIMESTAMPTZ:
            return _timestamp(_i64(p), PyDateTimeAPI.TimeZone_UTC) if size == 8 else NULL
        if kind == TIMESTAMP:
            return _timestamp(_i64(p), Py_None) if size == 8 else NULL
        if kind == LABEL:
            return self._member(p, size)
        if kind == BOOL:
            if size != 1:
                return NULL
            c_incref(Py_True if p[0] == 1 else Py_False)
            return Py_True if p[0] == 1 else Py_False
        if kind == NUMERIC:
            return _numeric(p, size)
        if kind == FLOAT8:
            return _float8(p) if size == 8 else NULL
        if kind == FLOAT4:
            return _float4(p) if size == 4 else NULL
        if kind == DATE:
            return _date(_i32(p)) if size == 4 else NULL
        if kind == INT2:
            return c_long(<int16_t>_u16(p)) if size == 2 else NULL
        if kind == UINT4:
            return c_unsigned(_u32(p)) if size == 4 else NULL
        if kind == BYTES:
            return c_bytes(p, size)
        if kind == TIME:
            return _time(_i64(p)) if size == 8 else NULL
        if kind == INTERVAL:
            return _interval(p) if size == 16 else NULL
        if kind == JSON:
            return self._json(p, size)
        if kind == JSONB:
            return self._json(p + 1, size - 1) if size > 0 and p[0] == 1 else NULL
        if kind == ARRAY:
            return self._array(p, size)
        if kind == COMPOSITE:
            return self._composite(p, size)
        if kind == RAW_JSONB:
            return c_bytes(p + 1, size - 1) if size > 0 else NULL
        if kind == VECTOR or kind == HALF_VECTOR:
            return (<raw_maker>_vector)(self, p, size)
        if kind == BY_C_DECODER:
            return self._by_c_decoder(p, size)
        return self._by_codec(p, size)

    cdef PyObject* _member(self, const char* p, ssize_t size) noexcept:
        cdef:
            ssize_t index
            PyObject* label
            PyObject* member
        for index in range(len(self.labels)):
            label = <PyObject*>PyTuple_GET_ITEM(self.labels, index)
            if PyBytes_GET_SIZE(<object>label) == size and not memcmp(
                PyBytes_AS_STRING(<object>label), p, size
            ):
                member = <PyObject*>PyTuple_GET_ITEM(self.members, index)
                c_incref(member)
                return member
        return _text(p, size) if self.decode is None else NULL

    cdef PyObject* _json(self, const char* p, ssize_t size) noexcept:
        # A copy of a short document costs less than a view of it. msgspec copies what it keeps; types that
        # keep the bytes themselves have no such decoder (`row_plan`).
        cdef:
            PyObject* view
            PyObject* made
        view = c_bytes(p, size) if size <= SHORT_JSON else c_view(<char*>p, size, PyBUF_READ)
        if view == NULL:
            return NULL
        made = c_call(<PyObject*>self.json, view)
        c_decref(view)
        return made

    cdef PyObject* _by_c_decoder(self, const char* p, ssize_t size) noexcept:
        cdef FRBuffer buffer
        buffer.buf = p
        buffer.len = size
        made = (<raw_c_decoder>self.codec.c_decoder)(self.settings, &buffer)
        if made != NULL and buffer.len:
            c_decref(made)
            return NULL
        return made

    cdef PyObject* _by_codec(self, const char* p, ssize_t size) noexcept:
        cdef:
            FRBuffer buffer
            PyObject* made
            PyObject* decoded
        if not _is_sound(self.codec, self.settings, p, size, 0):
            return NULL
        buffer.buf = p
        buffer.len = size
        made = (<raw_decoder>self.codec.decoder)(self.codec, self.settings, &buffer)
        if made == NULL:
            return NULL
        if buffer.len:
            c_decref(made)
            return NULL
        if made == Py_None:
            self.was_none = True
            return made
        if self.decode is None:
            return made
        decoded = c_call(<PyObject*>self.decode, made)
        c_decref(made)
        return decoded

    cdef PyObject* _array(self, const char* p, ssize_t size) noexcept:
        cdef:
            const char* end = p + size
            int32_t sizes[MAX_DIMENSIONS]
            int32_t dimensions, index
            int64_t count = 1
        if size < 12:
            return NULL
        dimensions = _i32(p)
        if dimensions == 0:
            return c_list(0) if size == 12 else NULL
        if dimensions < 0 or dimensions > MAX_DIMENSIONS or size < 12 + 8 * dimensions:
            return NULL
        p += 12
        for index in range(dimensions):
            sizes[index] = _i32(p)
            if sizes[index] < 0:
                return NULL
            count *= sizes[index]
            # Every element takes four bytes at least.
            if count > size:
                return NULL
            p += 8
        if count == 0:
            return c_list(0) if p == end else NULL
        made = self._elements(&p, end, sizes, dimensions)
        if made != NULL and p != end:
            c_decref(made)
            return NULL
        return made

    cdef PyObject* _elements(
        self, const char** at, const char* end, int32_t* sizes, int32_t dimensions
    ) noexcept:
        """Return the list of the elements of one dimension, which are lists if there are more."""
        cdef:
            const char* p = at[0]
            int32_t count = sizes[0], index, size
            PyObject* made = c_list(count)
            PyObject* element
        if made == NULL:
            return NULL
        for index in range(count):
            if dimensions > 1:
                element = self._elements(&p, end, sizes + 1, dimensions - 1)
            elif end - p < 4:
                element = NULL
            else:
                size = _i32(p)
                p += 4
                if size == -1:
                    self.found_null = True
                    c_incref(Py_None)
                    element = Py_None
                elif size < 0 or size > end - p:
                    element = NULL
                else:
                    element = self.element.value(p, size)
                    p += size
                    if self.element.was_none or self.element.found_null:
                        self.element.was_none = False
                        self.found_null = True
            if element == NULL:
                c_decref(made)
                return NULL
            c_set(made, index, element)
        at[0] = p
        return made

    cdef PyObject* _composite(self, const char* p, ssize_t size) noexcept:
        cdef:
            const char* end = p + size
            PyObject* in_place[IN_PLACE]
            PyObject** values = in_place
            PyObject* made = NULL
            ssize_t count = len(self.parts), index
            bint filled
        if size < 4 or _i32(p) != count:
            return NULL
        if count > IN_PLACE:
            values = <PyObject**>PyMem_Malloc(count * sizeof(PyObject*))
            if values == NULL:
                return NULL
        memset(values, 0, count * sizeof(PyObject*))
        filled = self._read_parts(p + 4, end, values, count)
        if filled:
            made = self.maker.make(values)
        else:
            _release(values, count)
        if values != in_place:
            PyMem_Free(values)
        return made

    cdef bint _read_parts(self, const char* p, const char* end, PyObject** values, ssize_t count) noexcept:
        cdef:
            ssize_t index
            int32_t size
            Column part
        for index in range(count):
            part = <Column>PyTuple_GET_ITEM(self.parts, index)
            if end - p < 8 or _u32(p) != part.codec.oid:
                return False
            size = _i32(p + 4)
            p += 8
            if size == -1:
                c_incref(Py_None)
                values[index] = Py_None
            elif size < 0 or size > end - p:
                return False
            else:
                values[index] = part.value(p, size)
                if values[index] == NULL:
                    return False
                p += size
        return p == end

    cdef object slow_value(self, const char* p, ssize_t size):
        """Return the value that asyncpg's codec and the plan make, or raise their error."""
        cdef:
            FRBuffer buffer
            Codec codec = self.codec
        if not _is_sound(codec, self.settings, p, size, 0):
            raise ProtocolError(
                f"a value of type {codec.name} is malformed in the message of a row: {size} bytes"
            )
        buffer.buf = p
        buffer.len = size
        value = codec.decoder(codec, self.settings, &buffer)
        if buffer.len:
            raise BufferError(f"unexpected trailing {buffer.len} bytes in buffer")
        self.was_none = value is None
        if value is None:
            return None
        if self.refused_elements is not None and _holds_null(value):
            raise self.refused_elements()
        if self.decode is None:
            return value
        try:
            return self.decode(value)
        except TypeError:
            raise self.plan.unreadable(value) from None


cdef bint _holds_null(array):
    for each in array:
        if each is None or (type(each) is list and _holds_null(each)):
            return True
    return False


# -- Rows ---------------------------------------------------------------------------------------------------


cdef class Part:
    """A row within a row, or the whole, of columns that follow one another."""

    def __cinit__(self, plan, ssize_t start):
        fields = []
        at = start
        for field in plan.fields:
            if isinstance(field, RowPart):
                part = Part(field, at)
                fields.append(part)
                at = part.end
            else:
                fields.append(None)
                at += 1
        self.start = start
        self.end = at
        self.nullable = plan.nullable
        self.fields = tuple(fields)
        self.maker = Maker(plan.target, len(fields))

    cdef PyObject* make(self, PyObject** values, const char* nulls) noexcept:
        """Return the row, or NULL with an error. Takes the values of its columns."""
        cdef:
            PyObject* in_place[IN_PLACE]
            PyObject** own = in_place
            PyObject* made = NULL
            ssize_t count = len(self.fields), index, at = self.start
            bint is_complete = True
            Part part
        if self.nullable and not _any_there(nulls + self.start, self.end - self.start):
            # All null through an outer join: there is no such row.
            _release(values + self.start, self.end - self.start)
            c_incref(Py_None)
            return Py_None
        if count > IN_PLACE:
            own = <PyObject**>PyMem_Malloc(count * sizeof(PyObject*))
            if own == NULL:
                return PyErr_NoMemory()
        memset(own, 0, count * sizeof(PyObject*))
        for index in range(count):
            if <PyObject*>PyTuple_GET_ITEM(self.fields, index) == Py_None:
                own[index] = values[at]
                values[at] = NULL
                at += 1
                continue
            part = <Part>PyTuple_GET_ITEM(self.fields, index)
            own[index] = part.make(values, nulls)
            if own[index] == NULL:
                is_complete = False
                break
            at = part.end
        if is_complete:
            made = self.maker.make(own)
        else:
            _release(own, count)
        if own != in_place:
            PyMem_Free(own)
        return made


cdef inline bint _any_there(const char* nulls, ssize_t count) noexcept:
    """Return whether a column is not null."""
    cdef ssize_t index
    for index in range(count):
        if nulls[index] == 0:
            return True
    return False


cdef class StructReader(RowReader):
    """Reads the rows of one prepared statement as its plan says."""

    def __init__(self, plan, PreparedStatementState statement not None):
        cdef Codec codec
        statement._ensure_rows_decoder()
        codecs = statement.rows_codecs or ()
        self.plan = plan
        self.described = len(codecs)
        plans = plan.columns
        if plans is None:
            plans = (None,) * len(codecs)
        self.width = len(plans)
        if self.width > self.described or (self.width < self.described and not plan.more):
            self.width_error = plan.refuse or IndexError
            return
        columns = []
        for index in range(self.width):
            codec = codecs[index]
            columns.append(Column(plans[index], codec, statement.settings))
        self.columns = tuple(columns)
        if plan.columns is None:
            self.maker = Maker(tuple, self.width)
        elif plan.part is None:
            self.is_value = True
        else:
            if any(isinstance(field, RowPart) for field in plan.part.fields):
                self.part = Part(plan.part, 0)
            else:
                self.maker = Maker(plan.part.target, self.width)
        checks = []
        for check in plan.nulls:
            if check.elements:
                (<Column>self.columns[check.column]).refused_elements = check.failure
            else:
                group = check.group or slice(0, 0)
                checks.append((check.column, group.start, group.stop, check.failure))
        self.checks = tuple(checks) or None

    cdef object read(self, const char* data, ssize_t size):
        cdef:
            PyObject* in_place[IN_PLACE]
            char nulls_in_place[IN_PLACE]
            PyObject** values = in_place
            char* nulls = nulls_in_place
            PyObject* made
            ssize_t filled = 0
        if self.width_error is not None:
            raise self.width_error(self.described)
        if self.width > IN_PLACE:
            values = <PyObject**>PyMem_Malloc(self.width * (sizeof(PyObject*) + 1))
            if values == NULL:
                raise MemoryError
            nulls = <char*>(values + self.width)
        try:
            self.fill(values, nulls, &filled, data, size)
            if self.checks is not None:
                self.refuse_nulls(nulls)
            if self.is_value:
                row = <object>values[0]
            else:
                if self.part is not None:
                    made = self.part.make(values, nulls)
                else:
                    made = self.maker.make(values)
                row = _owned(made)
        finally:
            _release(values, filled)
            if values != in_place:
                PyMem_Free(values)
        return row

    cdef int fill(
        self, PyObject** values, char* nulls, ssize_t* filled, const char* data, ssize_t size
    ) except -1:
        """Read the columns of a message into the array; `filled` is the number of those that are there."""
        cdef:
            const char* p = data + 2
            const char* end = data + size
            ssize_t index, width = self.width
            int32_t length
            Column column
            PyObject* value
        if size < 2 or _u16(data) != self.described:
            raise ProtocolError(
                f"the number of columns in the result row ({_u16(data) if size >= 2 else 0}) is different"
                f" from what was described ({self.described})"
            )
        for index in range(width):
            if end - p < 4:
                raise _truncated(4, end - p)
            length = _i32(p)
            p += 4
            if length == -1:
                c_incref(Py_None)
                values[index] = Py_None
                nulls[index] = 1
                filled[0] = index + 1
                continue
            if length < 0 or length > end - p:
                raise _truncated(length, end - p)
            column = <Column>PyTuple_GET_ITEM(self.columns, index)
            value = NULL
            nulls[index] = 0
            if column.kind != BY_CODEC:
                column.found_null = False
                value = column.value(p, length)
                if value != NULL and column.found_null and column.refused_elements is not None:
                    c_decref(value)
                    value = NULL
                if value == NULL:
                    PyErr_Clear()
            if value == NULL:
                slow = column.slow_value(p, length)
                Py_INCREF(slow)
                value = <PyObject*>slow
                nulls[index] = column.was_none
            values[index] = value
            filled[0] = index + 1
            p += length
        for index in range(width, self.described):
            if end - p < 4:
                raise _truncated(4, end - p)
            length = _i32(p)
            p += 4
            if length != -1:
                if length < 0 or length > end - p:
                    raise _truncated(length, end - p)
                p += length
        if p != end:
            raise BufferError(f"unexpected trailing {end - p} bytes in buffer")
        return 0

    cdef int refuse_nulls(self, const char* nulls) except -1:
        cdef ssize_t column, start, stop
        for column, start, stop, failure in self.checks:
            if nulls[column] and (start == stop or _any_there(nulls + start, stop - start)):
                raise failure()
        return 0


cdef object _owned(PyObject* made):
    """Return an object whose reference is taken; raise the error that is set if there is none."""
    if made == NULL:
        _raise_set()
    value = <object>made
    c_decref(made)
    return value


cdef int _raise_set() except -1:
    """Raise the error that is set."""
    return -1


cdef object _truncated(ssize_t wanted, ssize_t left):
    return BufferError(f"insufficient data in buffer: requested {wanted} remaining {left}")


def reader_of(plan, PreparedStatementState statement not None):
    """Return the reader of a plan's rows for a prepared statement, as long as its codecs are the same."""
    return StructReader(plan, statement)


cdef class MessageReader(RowReader):
    """Returns the bytes of each message: for tests."""

    cdef object read(self, const char* data, ssize_t size):
        return c_bytes_object(data, size)


def read_message(RowReader reader not None, bytes message not None, ssize_t times=1):
    """Read a DataRow message, given without its type and length, and return its row: for tests.

    The bytes lie in memory of their own, so that a sanitizer sees each read beyond them.
    """
    cdef:
        ssize_t size = PyBytes_GET_SIZE(message), index
        char* data = <char*>malloc(max(size, 1))
    if data == NULL:
        raise MemoryError
    memcpy(data, PyBytes_AS_STRING(message), size)
    row = None
    try:
        for index in range(times):
            row = reader.read(data, size)
    finally:
        free(data)
    return row
