# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rows encoded into PostgreSQL's binary COPY format, in blocks, and the COPY that sends them.

The format is that of the manual's page on COPY, "Binary Format". A column whose type has no encoder here, and a
value of another class than the usual one, are encoded by asyncpg's codec: results and errors are asyncpg's.
"""

cimport cpython
from cpython cimport datetime as pydatetime
from cpython.bytes cimport _PyBytes_Resize
from cpython.object cimport PyObject, Py_TYPE, PyTypeObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.math cimport isinf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from asyncpg.pgproto cimport pgproto
from asyncpg.pgproto.pgproto cimport WriteBuffer
from asyncpg.protocol.protocol cimport (
    CODEC_C,
    CODEC_PY,
    PG_FORMAT_BINARY,
    PG_XFORMAT_OBJECT,
    PROTOCOL_CANCELLED,
    BaseProtocol,
    Codec,
    ConnectionSettings,
    PreparedStatementState,
)

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timezone
from decimal import Decimal
from uuid import UUID

import msgspec
from asyncpg.exceptions import InternalClientError

from plainsql.encoding import encode_json, encode_jsonb_binary
from plainsql.types import Opaque

__all__ = ["CopyEncoder", "send_blocks"]

cdef extern from "Python.h":
    PyObject* PyIter_Next(object) except? NULL
    PyObject* PyUnicode_AsUTF8String(object) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object)
    ssize_t PyUnicode_GET_LENGTH(object)
    void* PyUnicode_DATA(object)
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    unsigned long long PyLong_AsUnsignedLongLongMask(object) except? 0
    object PyObject_GenericGetAttr(object, object)

cdef extern from *:
    """
    #include "structmember.h"
    #ifndef T_OBJECT_EX
    #define T_OBJECT_EX Py_T_OBJECT_EX
    #endif
    /* The place of a slot in its object; -1 if the descriptor is another one. Free-threaded builds read slots
       by the descriptor, which locks. */
    static Py_ssize_t plainsql_slot_offset(PyTypeObject *type, PyObject *descriptor) {
    #ifdef Py_GIL_DISABLED
        return -1;
    #else
        PyMemberDescrObject *member = (PyMemberDescrObject *)descriptor;
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)
                || type->tp_getattro != PyObject_GenericGetAttr
                || member->d_member->type != T_OBJECT_EX
                || !PyType_IsSubtype(type, PyDescr_TYPE(descriptor))) {
            return -1;
        }
        return member->d_member->offset;
    #endif
    }
    static inline void plainsql_store16(char *to, uint16_t value) {
        unsigned char *at = (unsigned char *)to;
        at[0] = (unsigned char)(value >> 8); at[1] = (unsigned char)value;
    }
    static inline void plainsql_store32(char *to, uint32_t value) {
        unsigned char *at = (unsigned char *)to;
        at[0] = (unsigned char)(value >> 24); at[1] = (unsigned char)(value >> 16);
        at[2] = (unsigned char)(value >> 8); at[3] = (unsigned char)value;
    }
    static inline void plainsql_store64(char *to, uint64_t value) {
        plainsql_store32(to, (uint32_t)(value >> 32));
        plainsql_store32(to + 4, (uint32_t)value);
    }
    static inline void plainsql_store_float(char *to, float value) {
        uint32_t bits;
        memcpy(&bits, &value, 4);
        plainsql_store32(to, bits);
    }
    static inline void plainsql_store_double(char *to, double value) {
        uint64_t bits;
        memcpy(&bits, &value, 8);
        plainsql_store64(to, bits);
    }
    static inline float plainsql_float_at(const char *from, Py_ssize_t index) {
        float value;
        memcpy(&value, from + 4 * index, 4);
        return value;
    }
    static inline double plainsql_double_at(const char *from, Py_ssize_t index) {
        double value;
        memcpy(&value, from + 8 * index, 8);
        return value;
    }
    """
    ssize_t slot_offset "plainsql_slot_offset"(PyTypeObject* type, PyObject* descriptor)
    void store16 "plainsql_store16"(char* to, uint16_t value) noexcept nogil
    void store32 "plainsql_store32"(char* to, uint32_t value) noexcept nogil
    void store64 "plainsql_store64"(char* to, uint64_t value) noexcept nogil
    void store_float "plainsql_store_float"(char* to, float value) noexcept nogil
    void store_double "plainsql_store_double"(char* to, double value) noexcept nogil
    float float_at "plainsql_float_at"(const char* data, ssize_t index) noexcept nogil
    double double_at "plainsql_double_at"(const char* data, ssize_t index) noexcept nogil

pydatetime.import_datetime()

cdef enum:
    BLOCK_BYTES = 64 * 1024     # rows are added until a block has as many; larger ones took as long
    SPARE_BYTES = 4 * 1024      # for the last row, so that a block seldom grows
    MESSAGE_BYTES = 64 * 1024 * 1024    # the server takes messages of less than 1 GB
    HEAD_BYTES = 5              # the type of a message and its length
    MOST_DIGITS = 120           # of a decimal that is encoded here
    MOST_DIMENSIONS = 16_000    # of a vector

# How a column's values are encoded.
cdef enum:
    BY_CODEC
    BY_PYTHON
    BOOL
    INT2
    INT4
    INT8
    FLOAT4
    FLOAT8
    TEXT
    BYTES
    DATE
    TIMESTAMP
    TIMESTAMPTZ
    UUID_
    NUMERIC
    JSON
    JSONB
    VECTOR

# How the values of a row are read.
cdef enum:
    TUPLE
    LIST
    ITEMS       # any sequence
    NAMES       # a struct: some of its fields may be no plain slots
    SLOTS       # a struct: by the places of its fields
    CALL        # the result of a function is a sequence

cdef enum:
    US_PER_SECOND = 1_000_000
    SECONDS_PER_DAY = 86_400

# PostgreSQL counts from the year 2000. asyncpg sends Python's first and last moment as the infinities.
cdef int64_t LAST_US = 252_455_615_999_999_999
cdef int64_t FIRST_US = -63_082_281_600_000_000
cdef int64_t LAST_DAY = 2_921_939
cdef int64_t FIRST_DAY = -730_119
cdef int64_t EPOCH_ORDINAL = 730_120

cdef bytes SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
cdef object UTC = timezone.utc
cdef object as_json = msgspec.json.encode
cdef object sleep = asyncio.sleep
cdef type PLAIN_UUID = UUID
cdef type PLAIN_DECIMAL = Decimal


cdef class Form:
    """How the values of the rows of one class are read."""

    cdef:
        int access
        tuple names
        object call
        ssize_t* offsets

    def __cinit__(self):
        self.offsets = NULL

    def __dealloc__(self):
        free(self.offsets)


cdef class CopyEncoder:
    """Encodes the rows of one copy.

    `form_of` is called with the first row of each class. It returns the names of the fields of a struct, None
    for a sequence of values, or a function that makes a sequence of a row. `conversions`: by the position of a
    column, a function that is called with each of its values first. `by_codecs`: asyncpg's codecs encode all
    values.

    Raises asyncpg's ``InternalClientError`` if a column's type has no binary format.
    """

    cdef:
        ConnectionSettings settings
        tuple codecs
        tuple conversions
        object form_of
        dict forms
        Form form
        PyObject* form_class
        int columns
        int* kinds
        WriteBuffer scratch
        PyObject* block
        char* data
        ssize_t size
        ssize_t length

    def __cinit__(self):
        self.kinds = NULL
        self.block = NULL
        self.form_class = NULL

    def __init__(
        self,
        PreparedStatementState statement not None,
        form_of,
        dict conversions not None,
        *,
        bint by_codecs=False,
    ):
        cdef Codec codec
        statement._ensure_rows_decoder()
        self.settings = statement.settings
        self.codecs = statement.rows_codecs
        self.columns = len(self.codecs)
        self.form_of = form_of
        self.forms = {}
        self.conversions = tuple([conversions.get(index) for index in range(self.columns)])
        self.scratch = WriteBuffer.new()
        for codec in self.codecs:
            if not codec.has_encoder() or codec.format != PG_FORMAT_BINARY:
                raise InternalClientError(f"no binary format encoder for type {codec.name} (OID {codec.oid})")
        free(self.kinds)
        self.kinds = <int*>malloc(max(self.columns, 1) * sizeof(int))
        if self.kinds == NULL:
            raise MemoryError
        for index, codec in enumerate(self.codecs):
            self.kinds[index] = BY_CODEC if by_codecs else self.kind_of(codec)
        self.begin()
        self.need(len(SIGNATURE))
        self.put(SIGNATURE, len(SIGNATURE))

    def __dealloc__(self):
        free(self.kinds)
        cpython.Py_XDECREF(self.block)

    cdef int kind_of(self, Codec codec) except -1:
        """Find the encoder of a column. What a codec does is known by its function, not by its type."""
        cdef void* encode = <void*>codec.c_encoder
        if codec.type == CODEC_PY:
            if codec.xformat != PG_XFORMAT_OBJECT:
                return BY_CODEC
            if codec.py_encoder is encode_json:
                return JSON
            if codec.py_encoder is encode_jsonb_binary:
                return JSONB
            vectors = sys.modules.get("plainsql.vector.codecs")
            if vectors is not None and codec.py_encoder is vectors.BINARY["vector"][0]:
                return VECTOR
            return BY_PYTHON
        if codec.type != CODEC_C:
            return BY_CODEC
        if encode == <void*>pgproto.int8_encode:
            return INT8
        if encode == <void*>pgproto.int4_encode:
            return INT4
        if encode == <void*>pgproto.int2_encode:
            return INT2
        if encode == <void*>pgproto.text_encode:
            return TEXT if self.settings.is_encoding_utf8() else BY_CODEC
        if encode == <void*>pgproto.timestamptz_encode:
            return TIMESTAMPTZ
        if encode == <void*>pgproto.timestamp_encode:
            return TIMESTAMP
        if encode == <void*>pgproto.date_encode:
            return DATE
        if encode == <void*>pgproto.bool_encode:
            return BOOL
        if encode == <void*>pgproto.float8_encode:
            return FLOAT8
        if encode == <void*>pgproto.float4_encode:
            return FLOAT4
        if encode == <void*>pgproto.bytea_encode:
            return BYTES
        if encode == <void*>pgproto.uuid_encode:
            return UUID_
        if encode == <void*>pgproto.numeric_encode_binary:
            return NUMERIC
        return BY_CODEC

    # Blocks --------------------------------------------------------------------------------------------

    def fill(self, rows):
        """Add rows of an iterator to the block until it is full; return False if they have ended before."""
        cdef PyObject* found
        while self.length < BLOCK_BYTES:
            found = PyIter_Next(rows)
            if found == NULL:
                return False
            row = <object>found
            Py_DECREF(row)
            self.add(row)
        return True

    def take(self):
        """Return the block, as CopyData messages, and begin the next."""
        return self.finish()

    def end(self):
        """Return the last block: it ends the copy."""
        self.need(2)
        self.put16(-1)
        return self.finish()

    cdef int begin(self) except -1:
        self.block = <PyObject*>NULL
        cdef bytes block = cpython.PyBytes_FromStringAndSize(NULL, BLOCK_BYTES + SPARE_BYTES)
        cpython.Py_INCREF(block)
        self.block = <PyObject*>block
        self.data = cpython.PyBytes_AS_STRING(block)
        self.size = BLOCK_BYTES + SPARE_BYTES
        self.length = HEAD_BYTES
        return 0

    cdef object finish(self):
        cdef:
            PyObject* block = self.block
            ssize_t length = self.length
            ssize_t at
            bytes head
        if length - 1 <= MESSAGE_BYTES:
            self.data[0] = b"d"
            store32(self.data + 1, <uint32_t>(length - 1))
        self.block = NULL
        _PyBytes_Resize(&block, length)
        whole = <object>block
        Py_DECREF(whole)
        self.begin()
        if length - 1 <= MESSAGE_BYTES:
            return whole
        # A message may end within a row.
        view = memoryview(whole)
        parts = []
        for at in range(HEAD_BYTES, length, MESSAGE_BYTES):
            part = view[at:at + MESSAGE_BYTES]
            parts.append(b"d" + (len(part) + 4).to_bytes(4, "big"))
            parts.append(part)
        return b"".join(parts)

    cdef int grow(self, ssize_t more) except -1:
        cdef ssize_t size = self.length + more
        size += size // 2
        # It sets the block to NULL if there is no memory.
        _PyBytes_Resize(&self.block, size)
        self.data = cpython.PyBytes_AS_STRING(<object>self.block)
        self.size = size
        return 0

    cdef inline int need(self, ssize_t more) except -1:
        if self.size - self.length < more:
            self.grow(more)
        return 0

    cdef inline void put(self, const char* data, ssize_t size) noexcept:
        memcpy(self.data + self.length, data, size)
        self.length += size

    cdef inline void put16(self, int value) noexcept:
        store16(self.data + self.length, <uint16_t>value)
        self.length += 2

    cdef inline void put32(self, int32_t value) noexcept:
        store32(self.data + self.length, <uint32_t>value)
        self.length += 4

    cdef inline void put64(self, uint64_t value) noexcept:
        store64(self.data + self.length, value)
        self.length += 8

    cdef inline void put_float(self, float value) noexcept:
        store_float(self.data + self.length, value)
        self.length += 4

    cdef int put_sized(self, const char* data, ssize_t size) except -1:
        if size > 0x7fffffff:
            raise ValueError("value too long")
        self.need(size + 4)
        self.put32(<int32_t>size)
        self.put(data, size)
        return 0

    # Rows ----------------------------------------------------------------------------------------------

    cdef int add(self, object row) except -1:
        cdef:
            Form form
            int access
            ssize_t index
            ssize_t columns = self.columns
            PyObject* slot
            object values = row
        if <PyObject*>Py_TYPE(row) != self.form_class:
            self.enter(row)
        form = self.form
        access = form.access
        self.need(2)
        self.put16(self.columns)
        if access == SLOTS:
            for index in range(columns):
                slot = (<PyObject**>(<char*><PyObject*>row + form.offsets[index]))[0]
                if slot == NULL:
                    self.value(index, getattr(row, form.names[index]))
                else:
                    self.value(index, <object>slot)
            return 0
        if access == NAMES:
            for index in range(columns):
                self.value(index, getattr(row, form.names[index]))
            return 0
        if access == CALL:
            values = form.call(row)
            access = TUPLE if type(values) is tuple else LIST if type(values) is list else ITEMS
        if access == TUPLE:
            if cpython.PyTuple_GET_SIZE(values) < columns:
                raise IndexError("tuple index out of range")
            for index in range(columns):
                self.value(index, (<tuple>values)[index])
        elif access == LIST:
            for index in range(columns):
                if index >= cpython.PyList_GET_SIZE(values):
                    raise IndexError("list index out of range")
                self.value(index, (<list>values)[index])
        else:
            for index in range(columns):
                self.value(index, values[index])
        return 0

    cdef int enter(self, object row) except -1:
        """Find the form of the rows of a class."""
        kind = type(row)
        form = self.forms.get(kind)
        if form is None:
            form = self.forms[kind] = self.make_form(kind, self.form_of(row))
        self.form = form
        # Its form keeps the class.
        self.form_class = <PyObject*>kind
        return 0

    cdef Form make_form(self, kind, how):
        cdef:
            Form form = Form()
            ssize_t offset
        if how is None:
            form.access = TUPLE if kind is tuple else LIST if kind is list else ITEMS
        elif callable(how):
            form.access = CALL
            form.call = how
        else:
            form.names = tuple([sys.intern(name) for name in how])
            form.access = NAMES
            form.offsets = <ssize_t*>malloc(max(self.columns, 1) * sizeof(ssize_t))
            if form.offsets == NULL:
                raise MemoryError
            for index in range(self.columns):
                descriptor = None
                for base in kind.__mro__:
                    if form.names[index] in base.__dict__:
                        descriptor = base.__dict__[form.names[index]]
                        break
                offset = slot_offset(<PyTypeObject*>kind, <PyObject*>descriptor)
                if offset <= 0:
                    return form
                form.offsets[index] = offset
            form.access = SLOTS
        return form

    # Values --------------------------------------------------------------------------------------------

    cdef int value(self, ssize_t column, object value) except -1:
        """Encode a value. One that is not of the usual class, or out of range, goes to the codec, which
        encodes or refuses it.
        """
        cdef:
            int kind = self.kinds[column]
            int overflow = 0
            long long number
            double real
            float single
        conversion = <object>cpython.PyTuple_GET_ITEM(self.conversions, column)
        if conversion is not None:
            value = conversion(value)
        if value is None:
            self.need(4)
            self.put32(-1)
            return 0
        if kind == TEXT:
            return self.text(column, value)
        if kind == INT8 or kind == INT4 or kind == INT2:
            if cpython.PyLong_CheckExact(value):
                number = PyLong_AsLongLongAndOverflow(value, &overflow)
                if not overflow:
                    self.need(12)
                    if kind == INT8:
                        self.put32(8)
                        self.put64(<uint64_t>number)
                        return 0
                    if kind == INT4:
                        if -2147483648LL <= number <= 2147483647LL:
                            self.put32(4)
                            self.put32(<int32_t>number)
                            return 0
                    elif -32768 <= number <= 32767:
                        self.put32(2)
                        self.put16(<int>number)
                        return 0
        elif kind == TIMESTAMPTZ or kind == TIMESTAMP:
            if pydatetime.PyDateTime_CheckExact(value) and self.timestamp(value, kind == TIMESTAMPTZ):
                return 0
        elif kind == FLOAT8:
            if cpython.PyFloat_CheckExact(value):
                real = cpython.PyFloat_AS_DOUBLE(value)
                self.need(12)
                self.put32(8)
                store_double(self.data + self.length, real)
                self.length += 8
                return 0
        elif kind == FLOAT4:
            if cpython.PyFloat_CheckExact(value):
                real = cpython.PyFloat_AS_DOUBLE(value)
                single = <float>real
                if not isinf(single) or isinf(real):
                    self.need(8)
                    self.put32(4)
                    self.put_float(single)
                    return 0
        elif kind == BOOL:
            if value is True or value is False:
                self.need(5)
                self.put32(1)
                self.data[self.length] = 1 if value is True else 0
                self.length += 1
                return 0
        elif kind == DATE:
            if pydatetime.PyDate_CheckExact(value):
                self.date(value)
                return 0
        elif kind == BYTES:
            if cpython.PyBytes_CheckExact(value):
                return self.put_sized(cpython.PyBytes_AS_STRING(value), cpython.PyBytes_GET_SIZE(value))
        elif kind == UUID_:
            if type(value) is PLAIN_UUID:
                bits = value.int
                self.need(20)
                self.put32(16)
                self.put64(PyLong_AsUnsignedLongLongMask(bits >> 64))
                self.put64(PyLong_AsUnsignedLongLongMask(bits))
                return 0
        elif kind == NUMERIC:
            if type(value) is PLAIN_DECIMAL and self.decimal(str(value)):
                return 0
        elif kind == JSON or kind == JSONB:
            if type(value) is not Opaque and self.json(value, kind == JSONB):
                return 0
            return self.python(column, value)
        elif kind == VECTOR:
            if self.vector(value):
                return 0
            return self.python(column, value)
        elif kind == BY_PYTHON:
            return self.python(column, value)
        return self.codec(column, value)

    cdef int codec(self, ssize_t column, object value) except -1:
        cdef:
            Codec codec = <Codec>self.codecs[column]
            WriteBuffer scratch = self.scratch
        scratch._length = 0
        codec.encoder(codec, self.settings, scratch, value)
        self.need(scratch._length)
        self.put(scratch._buf, scratch._length)
        if scratch._length > BLOCK_BYTES:
            self.scratch = WriteBuffer.new()
        return 0

    cdef int python(self, ssize_t column, object value) except -1:
        data = (<Codec>self.codecs[column]).py_encoder(value)
        if type(data) is not bytes:
            data = memoryview(data).tobytes()
        return self.put_sized(cpython.PyBytes_AS_STRING(data), cpython.PyBytes_GET_SIZE(data))

    cdef int text(self, ssize_t column, object value) except -1:
        if not cpython.PyUnicode_Check(value):
            return self.codec(column, value)
        if PyUnicode_IS_COMPACT_ASCII(value):
            return self.put_sized(<const char*>PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value))
        # Not the form that Python would keep in the text for as long as it lives.
        data = <object>PyUnicode_AsUTF8String(value)
        Py_DECREF(data)
        return self.put_sized(cpython.PyBytes_AS_STRING(data), cpython.PyBytes_GET_SIZE(data))

    cdef int date(self, object value) except -1:
        cdef int64_t day = days_of(
            pydatetime.PyDateTime_GET_YEAR(value),
            pydatetime.PyDateTime_GET_MONTH(value),
            pydatetime.PyDateTime_GET_DAY(value),
        )
        self.need(8)
        self.put32(4)
        if day == LAST_DAY:
            self.put32(0x7fffffff)
        elif day == FIRST_DAY:
            self.put32(<int32_t>0x80000000)
        else:
            self.put32(<int32_t>day)
        return 0

    cdef bint timestamp(self, object value, bint with_zone) except -1:
        """Encode a time, if it is aware or not as its column. The codec takes the others."""
        cdef int64_t moment
        zone = <object>pydatetime.PyDateTime_DATE_GET_TZINFO(value)
        if (zone is None) == with_zone:
            return False
        moment = days_of(
            pydatetime.PyDateTime_GET_YEAR(value),
            pydatetime.PyDateTime_GET_MONTH(value),
            pydatetime.PyDateTime_GET_DAY(value),
        ) * SECONDS_PER_DAY
        moment += pydatetime.PyDateTime_DATE_GET_HOUR(value) * 3600
        moment += pydatetime.PyDateTime_DATE_GET_MINUTE(value) * 60
        moment += pydatetime.PyDateTime_DATE_GET_SECOND(value)
        moment = moment * US_PER_SECOND + pydatetime.PyDateTime_DATE_GET_MICROSECOND(value)
        if zone is not None and zone is not UTC:
            offset = value.utcoffset()
            if offset is None:
                return False
            moment -= (
                <int64_t>pydatetime.PyDateTime_DELTA_GET_DAYS(offset) * SECONDS_PER_DAY
                + pydatetime.PyDateTime_DELTA_GET_SECONDS(offset)
            ) * US_PER_SECOND + pydatetime.PyDateTime_DELTA_GET_MICROSECONDS(offset)
            if not FIRST_US <= moment <= LAST_US:
                return False
        if moment == LAST_US:
            moment = 0x7fffffffffffffffLL
        elif moment == FIRST_US:
            moment = -0x7fffffffffffffffLL - 1
        self.need(12)
        self.put32(8)
        self.put64(<uint64_t>moment)
        return True

    cdef bint decimal(self, str text) except -1:
        """Encode a decimal that is written without an exponent: groups of four digits before and after the
        point.
        """
        cdef:
            const char* at = <const char*>PyUnicode_DATA(text)
            ssize_t size = PyUnicode_GET_LENGTH(text)
            ssize_t index = 0
            ssize_t whole = 0
            ssize_t scale = 0
            ssize_t count = 0
            ssize_t groups
            ssize_t pad
            bint negative
            bint pointed = False
            char digits[MOST_DIGITS + 8]
        if size > MOST_DIGITS or not PyUnicode_IS_COMPACT_ASCII(text):
            return False
        negative = at[0] == b"-"
        # The first group may begin with zeros that are not written.
        for index in range(negative, size):
            if at[index] == b"." or at[index] < b"0" or at[index] > b"9":
                break
            whole += 1
        pad = (4 - whole % 4) % 4
        for index in range(pad):
            digits[index] = 0
        count = pad
        for index in range(negative, size):
            if b"0" <= at[index] <= b"9":
                digits[count] = at[index] - 48
                count += 1
                scale += pointed
            elif at[index] == b"." and not pointed:
                pointed = True
            else:
                return False  # an exponent, NaN, Infinity
        while count % 4:
            digits[count] = 0
            count += 1
        groups = count // 4
        self.need(12 + 2 * groups)
        self.put32(<int32_t>(8 + 2 * groups))
        self.put16(<int>groups)
        self.put16(<int>((whole + 3) // 4 - 1))
        self.put16(0x4000 if negative else 0)
        self.put16(<int>scale)
        for index in range(groups):
            self.put16(
                digits[4 * index] * 1000
                + digits[4 * index + 1] * 100
                + digits[4 * index + 2] * 10
                + digits[4 * index + 3]
            )
        return True

    cdef bint json(self, object value, bint binary) except -1:
        """Encode JSON. The codec takes what may hold a number or a text that JSON does not have."""
        cdef bytes data = as_json(value)
        if b"null" in data or (binary and b"\\u0000" in data):
            return False
        cdef ssize_t size = cpython.PyBytes_GET_SIZE(data)
        if not binary:
            self.put_sized(cpython.PyBytes_AS_STRING(data), size)
            return True
        if size >= 0x7fffffff:
            raise ValueError("value too long")
        self.need(5 + size)
        self.put32(<int32_t>(1 + size))
        self.data[self.length] = 1  # the version of the format
        self.length += 1
        self.put(cpython.PyBytes_AS_STRING(data), size)
        return True

    cdef bint vector(self, object value) except -1:
        """Encode a list of floats, or a buffer of them. The codec takes everything else."""
        return self.vector_of_list(value) if type(value) is list else self.vector_of_buffer(value)

    cdef void begin_vector(self, ssize_t count) noexcept:
        self.put32(<int32_t>(4 + 4 * count))
        self.put16(<int>count)
        self.put16(0)

    cdef bint vector_of_list(self, list value) except -1:
        cdef:
            ssize_t count = len(value)
            ssize_t start = self.length
            ssize_t index
        if count > MOST_DIMENSIONS:
            return False
        self.need(8 + 4 * count)
        self.begin_vector(count)
        for index in range(count):
            element = <object>cpython.PyList_GET_ITEM(value, index)
            if not cpython.PyFloat_CheckExact(element):
                self.length = start
                return False
            self.put_float(<float>cpython.PyFloat_AS_DOUBLE(element))
        return True

    cdef bint vector_of_buffer(self, object value) except -1:
        cdef:
            Py_buffer view
            ssize_t count
            ssize_t index
        if not cpython.PyObject_CheckBuffer(value):
            return False
        try:
            cpython.PyObject_GetBuffer(value, &view, cpython.PyBUF_FORMAT | cpython.PyBUF_C_CONTIGUOUS)
        except BufferError:
            return False
        except ValueError:  # NumPy's, for types that have no format
            return False
        try:
            if view.ndim != 1 or view.format == NULL or view.format[0] == 0 or view.format[1] != 0:
                return False
            count = view.len // view.itemsize
            if count > MOST_DIMENSIONS:
                return False
            if view.format[0] == b"f" and view.itemsize == 4:
                self.need(8 + 4 * count)
                self.begin_vector(count)
                for index in range(count):
                    self.put_float(float_at(<const char*>view.buf, index))
                return True
            if view.format[0] == b"d" and view.itemsize == 8:
                for index in range(count):
                    if isinf(<float>double_at(<const char*>view.buf, index)):
                        return False  # NumPy warns
                self.need(8 + 4 * count)
                self.begin_vector(count)
                for index in range(count):
                    self.put_float(<float>double_at(<const char*>view.buf, index))
                return True
            return False
        finally:
            cpython.PyBuffer_Release(&view)


cdef inline int64_t days_of(int year, int month, int day) noexcept nogil:
    """Count the days from 2000-01-01 on, in the calendar that Python and PostgreSQL use."""
    cdef int64_t before
    if month <= 2:
        year -= 1
        month += 12
    before = 365 * <int64_t>year + year // 4 - year // 100 + year // 400
    return before + (153 * (month - 3) + 2) // 5 + day - 1 - 730_425


async def send_blocks(BaseProtocol protocol not None, str statement not None, blocks, timeout=None):
    """Run a COPY from standard input, with the CopyData messages of an iterator, and return its status.

    Raises the error of the server as soon as it comes, the loss of the connection, what the iterator raises,
    and cancellation; then the server keeps nothing.
    """
    timeout = protocol._get_timeout_impl(timeout)
    timeout = await protocol._wait_for_cancellation(timeout)
    protocol._check_state()
    waiter = protocol._new_waiter(timeout)
    protocol._copy_in(statement)
    try:
        if isinstance(blocks, AsyncIterator):
            async for block in blocks:
                if not waiter.done():
                    protocol._write(block)
                    await _room(protocol, waiter)
                if waiter.done():
                    break
        else:
            for block in blocks:
                protocol._write(block)
                await _room(protocol, waiter)
                if waiter.done():
                    break
    except (Exception, asyncio.CancelledError):
        if not waiter.done():
            protocol._write_copy_fail_msg("the source of the rows failed, or the copy was cancelled")
            protocol._request_cancel()
        # Its error is not the one that is raised.
        waiter.add_done_callback(_retrieve)
        raise
    if not waiter.done():
        protocol._write_copy_done_msg()
    elif protocol.state == PROTOCOL_CANCELLED:
        # The time limit: the server waits for the end of the data before it looks for the request to cancel.
        protocol._write_copy_fail_msg("the copy took longer than its time limit")
    return await waiter


async def _room(BaseProtocol protocol, waiter):
    """Give the event loop a turn, then wait until the connection takes more, or the copy has ended."""
    await sleep(0)
    allowed = protocol.writing_allowed
    if allowed.is_set() or waiter.done():
        return
    room = asyncio.ensure_future(allowed.wait())
    try:
        await asyncio.wait((room, waiter), return_when=asyncio.FIRST_COMPLETED)
    finally:
        room.cancel()


def _retrieve(waiter):
    if not waiter.cancelled():
        waiter.exception()
