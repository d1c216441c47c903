# cython: language_level=3
"""Rows of the server's messages read into Arrow's buffers, one set for each column.

Every length is checked against the message before it is used. A row that cannot be read leaves its reader
unusable: the call fails with it.
"""

cimport cython
from asyncpg.protocol.protocol cimport PG_FORMAT_BINARY, Codec, PreparedStatementState
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from plainsql.speed._wire cimport RowReader

from asyncpg.exceptions import OutdatedSchemaCacheError, ProtocolError
from plainsql.columns.array_data import ArrayData
from plainsql.columns.unfit_values import EXTENSIONS, UnfitValue

__all__ = ["STATEMENT", "BlockReader", "ColumnReader", "columns_of_messages", "described_columns"]

STATEMENT = PreparedStatementState

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    typedef __int128 plainsql_int128;

    static inline uint16_t plainsql_be16(const char* at) {
      uint16_t v; memcpy(&v, at, 2); return (uint16_t)((v >> 8) | (v << 8));
    }
    static inline uint32_t plainsql_be32(const char* at) {
      uint32_t v; memcpy(&v, at, 4); return __builtin_bswap32(v);
    }
    static inline uint64_t plainsql_be64(const char* at) {
      uint64_t v; memcpy(&v, at, 8); return __builtin_bswap64(v);
    }
    #if defined(__GNUC__) && !defined(__clang__)
    #define PLAINSQL_VECTORIZED __attribute__((optimize("O3")))
    #else
    #define PLAINSQL_VECTORIZED
    #endif
    PLAINSQL_VECTORIZED static void plainsql_copy32(char* to, const char* from, int64_t count) {
      for (int64_t i = 0; i < count; i++) {
        uint32_t v; memcpy(&v, from + 4 * i, 4); v = __builtin_bswap32(v); memcpy(to + 4 * i, &v, 4);
      }
    }
    PLAINSQL_VECTORIZED static void plainsql_copy16(char* to, const char* from, int64_t count) {
      for (int64_t i = 0; i < count; i++) {
        uint16_t v = plainsql_be16(from + 2 * i); memcpy(to + 2 * i, &v, 2);
      }
    }
    /* Whether a text is UTF-8, by the table of the Unicode standard (3-7). */
    static int plainsql_is_utf8(const unsigned char* at, int64_t size) {
      const unsigned char* end = at + size;
      uint64_t word;
      while (at < end) {
        if (end - at >= 8) {
          memcpy(&word, at, 8);
          if (!(word & 0x8080808080808080ULL)) { at += 8; continue; }
        }
        unsigned char c = *at++;
        if (c < 0x80) continue;
        int more; unsigned char low = 0x80, high = 0xBF;
        if (c >= 0xC2 && c <= 0xDF) more = 1;
        else if (c >= 0xE0 && c <= 0xEF) { more = 2; if (c == 0xE0) low = 0xA0; if (c == 0xED) high = 0x9F; }
        else if (c >= 0xF0 && c <= 0xF4) { more = 3; if (c == 0xF0) low = 0x90; if (c == 0xF4) high = 0x8F; }
        else return 0;
        if (end - at < more) return 0;
        if (*at < low || *at > high) return 0;
        at++;
        while (--more) { if (*at < 0x80 || *at > 0xBF) return 0; at++; }
      }
      return 1;
    }
    static const plainsql_int128 plainsql_limit =
      (plainsql_int128)10000000000000000000ULL * (plainsql_int128)10000000000000000000ULL;  /* 10 ** 38 */
    """
    ctypedef long long int128 "plainsql_int128"
    uint16_t be16 "plainsql_be16"(const char*)
    uint32_t be32 "plainsql_be32"(const char*)
    uint64_t be64 "plainsql_be64"(const char*)
    void copy32 "plainsql_copy32"(char*, const char*, int64_t)
    void copy16 "plainsql_copy16"(char*, const char*, int64_t)
    int is_utf8 "plainsql_is_utf8"(const unsigned char*, int64_t)
    const int128 LIMIT "plainsql_limit"

cdef enum:
    MAX_DIMENSIONS = 6
    # From PostgreSQL's epoch, 2000-01-01, to Arrow's, 1970-01-01.
    EPOCH_DAYS = 10957

cdef int64_t EPOCH_US = 946684800000000
# What Python has: years 1 to 9999. PostgreSQL's infinities are its first and last values, as in rows.
cdef int32_t MIN_DAY = -730119
cdef int32_t MAX_DAY = 2921939
cdef int64_t MIN_US = -63082281600000000
cdef int64_t MAX_US = 252455615999999999
cdef int64_t MAX_TIME = 86399999999
cdef int64_t MAX_BYTES = 2147483647
cdef int64_t DAY_US = 86400000000


cdef garbled(str what):
    return ProtocolError(f"a row of the server cannot be read: {what}")


cdef int expect(ssize_t size, ssize_t wanted) except -1:
    if size != wanted:
        raise garbled(f"expected a value of {wanted} bytes, got {size}")
    return 0


cdef unreadable():
    return ValueError("a value that Python does not have")


@cython.final
cdef class Buffer:
    """Memory that grows, and is given away as it is: an object with Python's buffer protocol."""

    cdef:
        char* data
        ssize_t size
        ssize_t capacity

    def __dealloc__(self):
        free(self.data)

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.data if self.data != NULL else <char*>b"", self.size, 1, flags)

    cdef int grow(self, ssize_t more) except -1:
        cdef:
            ssize_t capacity = self.capacity
            char* data
        if self.size + more > capacity:
            capacity = max(capacity * 2, self.size + more, 512)
            data = <char*>realloc(self.data, capacity)
            if data == NULL:
                raise MemoryError
            self.data, self.capacity = data, capacity
        return 0

    cdef inline char* room(self, ssize_t more) except NULL:
        """Return where the next bytes go, and count them."""
        cdef char* at
        if self.size + more > self.capacity:
            self.grow(more)
        at = self.data + self.size
        self.size += more
        return at

    cdef int fill(self, ssize_t more) except -1:
        if more:
            memset(self.room(more), 0, more)
        return 0

    cdef inline int put32(self, int32_t value) except -1:
        memcpy(self.room(4), &value, 4)
        return 0

    cdef int trim(self) except -1:
        cdef char* data
        if self.data != NULL and self.size and self.capacity > self.size + self.size // 4:
            data = <char*>realloc(self.data, self.size)
            if data != NULL:
                self.data, self.capacity = data, self.size
        return 0


cdef class Builder:
    """The values of one column, element or field."""

    cdef:
        ssize_t length
        ssize_t nulls
        Buffer validity

    cdef int append(self, const char* data, ssize_t size) except -1:
        raise NotImplementedError

    cdef int append_null(self) except -1:
        """Keep the place of a null in the buffers."""
        raise NotImplementedError

    cdef inline int count(self) except -1:
        """Count a value that is not null."""
        if self.nulls:
            self.mark(True)
        self.length += 1
        return 0

    cdef int count_null(self) except -1:
        cdef ssize_t full
        if self.validity is None:
            self.validity = Buffer.__new__(Buffer)
            full = (self.length + 7) // 8
            if full:
                memset(self.validity.room(full), 0xFF, full)
                if self.length % 8:
                    self.validity.data[full - 1] = <char>((1 << (self.length % 8)) - 1)
        self.mark(False)
        self.nulls += 1
        self.length += 1
        return 0

    cdef int mark(self, bint valid) except -1:
        cdef ssize_t at = self.length
        if at % 8 == 0:
            self.validity.room(1)[0] = valid
        elif valid:
            self.validity.data[at // 8] |= <char>(1 << (at % 8))
        return 0

    cdef finished(self, str format, str name, buffers, children=(), dictionary=None, metadata=None):
        cdef Buffer buffer
        for each in (self.validity, *buffers):
            if each is not None:
                (<Buffer>each).trim()
        return ArrayData(
            format,
            name,
            self.length,
            self.nulls,
            (self.validity, *buffers),
            tuple(children),
            dictionary,
            metadata or {},
        )

    def finish(self, str name):
        raise NotImplementedError


cdef class FixedBuilder(Builder):
    cdef:
        Buffer values
        ssize_t width
        str format
        dict metadata

    def __init__(self, str format, ssize_t width, metadata=None):
        self.format, self.width, self.metadata = format, width, metadata
        self.values = Buffer.__new__(Buffer)

    cdef int append_null(self) except -1:
        memset(self.values.room(self.width), 0, self.width)
        self.count_null()
        return 0

    def finish(self, str name):
        return self.finished(self.format, name, (self.values,), (), None, self.metadata)


@cython.final
cdef class Builder16(FixedBuilder):
    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef uint16_t value
        expect(size, 2)
        value = be16(data)
        memcpy(self.values.room(2), &value, 2)
        self.count()
        return 0


@cython.final
cdef class Builder32(FixedBuilder):
    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef uint32_t value
        expect(size, 4)
        value = be32(data)
        memcpy(self.values.room(4), &value, 4)
        self.count()
        return 0


@cython.final
cdef class Builder64(FixedBuilder):
    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef uint64_t value
        expect(size, 8)
        value = be64(data)
        memcpy(self.values.room(8), &value, 8)
        self.count()
        return 0


@cython.final
cdef class UuidBuilder(FixedBuilder):
    cdef int append(self, const char* data, ssize_t size) except -1:
        expect(size, 16)
        memcpy(self.values.room(16), data, 16)
        self.count()
        return 0


@cython.final
cdef class DateBuilder(FixedBuilder):
    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef int32_t day
        expect(size, 4)
        day = <int32_t>be32(data)
        if day < MIN_DAY or day > MAX_DAY:
            if day == <int32_t>0x7FFFFFFF:
                day = MAX_DAY
            elif day == <int32_t>0x80000000:
                day = MIN_DAY
            else:
                raise unreadable()
        self.values.put32(day + EPOCH_DAYS)
        self.count()
        return 0


@cython.final
cdef class TimestampBuilder(FixedBuilder):
    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef int64_t at
        expect(size, 8)
        at = <int64_t>be64(data)
        if at < MIN_US or at > MAX_US:
            if at == <int64_t>0x7FFFFFFFFFFFFFFFULL:
                at = MAX_US
            elif at == <int64_t>0x8000000000000000ULL:
                at = MIN_US
            else:
                raise unreadable()
        at += EPOCH_US
        memcpy(self.values.room(8), &at, 8)
        self.count()
        return 0


@cython.final
cdef class TimeBuilder(FixedBuilder):
    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef int64_t at
        expect(size, 8)
        at = <int64_t>be64(data)
        if at < 0 or at > MAX_TIME:
            raise unreadable()
        memcpy(self.values.room(8), &at, 8)
        self.count()
        return 0


@cython.final
cdef class IntervalBuilder(FixedBuilder):
    """A duration: a month counts 30 days and a year 365, as in rows."""

    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef int64_t time, days, months, whole
        cdef uint64_t total
        expect(size, 16)
        time = <int64_t>be64(data)
        days = <int32_t>be32(data + 8)
        months = <int32_t>be32(data + 12)
        if time == <int64_t>0x7FFFFFFFFFFFFFFFULL or time == <int64_t>0x8000000000000000ULL:
            raise unreadable()  # infinity
        if months < 0:
            days -= (-months) // 12 * 365 + (-months) % 12 * 30
        else:
            days += months // 12 * 365 + months % 12 * 30
        # The microseconds of an Arrow duration fit into 64 bits.
        whole = days + time // DAY_US
        if whole > 999999999 or whole < -999999999:
            raise unreadable()
        if whole > 106751990 or whole < -106751990:
            raise UnfitValue("an interval is longer than 292,000 years", "cast it to text")
        total = <uint64_t>days * <uint64_t>DAY_US + <uint64_t>time
        memcpy(self.values.room(8), &total, 8)
        self.count()
        return 0


@cython.final
cdef class BoolBuilder(FixedBuilder):
    cdef int append(self, const char* data, ssize_t size) except -1:
        expect(size, 1)
        self.put(data[0] != 0)
        self.count()
        return 0

    cdef int append_null(self) except -1:
        self.put(False)
        self.count_null()
        return 0

    cdef inline int put(self, bint value) except -1:
        cdef ssize_t at = self.length
        if at % 8 == 0:
            self.values.room(1)[0] = value
        elif value:
            self.values.data[at // 8] |= <char>(1 << (at % 8))
        return 0


@cython.final
cdef class BytesBuilder(Builder):
    """Texts, bytes and JSON. ``skipped`` is the version in front of a value, -1 without one."""

    cdef:
        Buffer offsets
        Buffer data
        str format
        int skipped
        bint is_text
        dict metadata

    def __init__(self, str format, int skipped=-1, metadata=None):
        self.format, self.skipped, self.metadata = format, skipped, metadata
        self.is_text = format == "u"
        self.offsets = Buffer.__new__(Buffer)
        self.data = Buffer.__new__(Buffer)
        self.offsets.put32(0)

    cdef int append(self, const char* data, ssize_t size) except -1:
        if self.skipped >= 0:
            if size < 1 or data[0] != self.skipped:
                raise garbled("the version of a value is not known")
            data += 1
            size -= 1
        if self.data.size + size > MAX_BYTES:
            raise UnfitValue("its values have more than 2 GiB together", "read it in blocks, by stream_columns")
        if size:
            if self.is_text and not is_utf8(<const unsigned char*>data, size):
                raise ValueError("a text that is not UTF-8")
            memcpy(self.data.room(size), data, size)
        self.offsets.put32(<int32_t>self.data.size)
        self.count()
        return 0

    cdef int append_null(self) except -1:
        self.offsets.put32(<int32_t>self.data.size)
        self.count_null()
        return 0

    def finish(self, str name):
        return self.finished(self.format, name, (self.offsets, self.data), (), None, self.metadata)


@cython.final
cdef class EnumBuilder(Builder):
    """Labels as numbers into the list of them. One that the catalog did not have is added."""

    cdef:
        Buffer values
        list labels
        dict numbers
        bytes last
        int32_t last_number

    def __init__(self, labels):
        self.values = Buffer.__new__(Buffer)
        self.labels = [label.encode() for label in labels]
        self.numbers = {label: number for number, label in enumerate(self.labels)}
        self.last = b""
        self.last_number = self.numbers.get(b"", -1)

    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef bytes label
        if self.last_number < 0 or len(self.last) != size or memcmp(data, <const char*>self.last, size):
            label = data[:size]
            number = self.numbers.get(label)
            if number is None:
                if not is_utf8(<const unsigned char*>data, size):
                    raise ValueError("a text that is not UTF-8")
                number = self.numbers[label] = len(self.labels)
                self.labels.append(label)
            self.last, self.last_number = label, number
        self.values.put32(self.last_number)
        self.count()
        return 0

    cdef int append_null(self) except -1:
        self.values.put32(0)
        self.count_null()
        return 0

    def finish(self, str name):
        words = BytesBuilder("u")
        for label in self.labels:
            words.append(<const char*><bytes>label, len(label))
        return self.finished("i", name, (self.values,), (), words.finish(""))


@cython.final
cdef class DecimalBuilder(Builder):
    """Decimals of one scale: the declared one, or the greatest of the values."""

    cdef:
        Buffer values
        int precision
        int scale
        bint is_declared

    def __init__(self, decimal):
        self.values = Buffer.__new__(Buffer)
        self.is_declared = decimal is not None
        self.precision, self.scale = decimal or (38, 0)

    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef:
            int digits, weight, sign, scale, at, digit
            int64_t power
            int128 value = 0
        if size < 8:
            raise garbled(f"expected a numeric, got {size} bytes")
        digits = be16(data)
        weight = <int16_t>be16(data + 2)
        sign = be16(data + 4)
        scale = be16(data + 6)
        expect(size, 8 + 2 * digits)
        if sign not in (0, 0x4000):
            if sign in (0xC000, 0xD000, 0xF000):
                raise UnfitValue("NaN and infinities are no decimals", "cast it to float8 or text")
            raise garbled("the sign of a numeric is not known")
        if scale > self.scale:
            if self.is_declared:
                raise garbled("a numeric has more digits than its type")
            self.rescale(scale)
        power = 0
        for at in range(digits):
            digit = be16(data + 8 + 2 * at)
            if digit > 9999:
                raise garbled("a digit of a numeric is too great")
            power = 4 * (<int64_t>weight - at) + self.scale
            if power >= 0:
                if value > (LIMIT - 1 - digit) // 10000:
                    raise self.too_long()
                value = value * 10000 + digit
            elif power > -4:
                value = self.times_ten(value, power + 4)
                for _ in range(-power):
                    if digit % 10:
                        raise garbled("a numeric has more digits than its scale")
                    digit //= 10
                if value > LIMIT - 1 - digit:
                    raise self.too_long()
                value += digit
            elif digit:
                raise garbled("a numeric has more digits than its scale")
        if power > 0:
            value = self.times_ten(value, power)
        if sign:
            value = -value
        memcpy(self.values.room(16), &value, 16)
        self.count()
        return 0

    cdef int128 times_ten(self, int128 value, int64_t power) except? -1:
        if value == 0:
            return value
        if power > 38:
            raise self.too_long()
        for _ in range(power):
            if value > (LIMIT - 1) // 10:
                raise self.too_long()
            value *= 10
        return value

    cdef too_long(self):
        return UnfitValue("a value has more than 38 digits", "cast it to float8, numeric(p, s) or text")

    cdef int rescale(self, int scale) except -1:
        cdef:
            ssize_t at
            int128 value
            bint negative
        if scale > 38:
            raise self.too_long()
        for at in range(self.length):
            memcpy(&value, self.values.data + 16 * at, 16)
            negative = value < 0
            value = self.times_ten(-value if negative else value, scale - self.scale)
            if negative:
                value = -value
            memcpy(self.values.data + 16 * at, &value, 16)
        self.scale = scale
        return 0

    cdef int append_null(self) except -1:
        self.values.fill(16)
        self.count_null()
        return 0

    def finish(self, str name):
        return self.finished(f"d:{self.precision},{self.scale}", name, (self.values,))


@cython.final
cdef class VectorBuilder(Builder):
    """Vectors of one dimension: the declared one, or that of the first."""

    cdef:
        Buffer values
        ssize_t dimension
        ssize_t width
        str format

    def __init__(self, str format, ssize_t width, ssize_t dimension):
        self.format, self.width, self.dimension = format, width, dimension
        self.values = Buffer.__new__(Buffer)

    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef ssize_t dimension
        if size < 4:
            raise garbled(f"expected a vector, got {size} bytes")
        dimension = be16(data)
        expect(size, 4 + self.width * dimension)
        if dimension != self.dimension:
            if self.dimension >= 0:
                raise UnfitValue(
                    f"a vector has {dimension} dimensions, the ones before {self.dimension}",
                    "cast it to a type with a dimension, such as vector(3)",
                )
            self.dimension = dimension
            self.values.fill(self.length * self.width * dimension)
        if dimension:
            if self.width == 4:
                copy32(self.values.room(size - 4), data + 4, dimension)
            else:
                copy16(self.values.room(size - 4), data + 4, dimension)
        self.count()
        return 0

    cdef int append_null(self) except -1:
        if self.dimension > 0:
            self.values.fill(self.width * self.dimension)
        self.count_null()
        return 0

    def finish(self, str name):
        dimension = max(self.dimension, 0)
        self.values.trim()
        numbers = ArrayData(self.format, "item", self.length * dimension, 0, (None, self.values))
        return self.finished(f"+w:{dimension}", name, (), (numbers,))


@cython.final
cdef class ListBuilder(Builder):
    """Arrays: lists of lists for those with more dimensions, which all have the same number."""

    cdef:
        Builder element
        uint32_t oid
        int depth
        list levels

    def __init__(self, Builder element not None, uint32_t oid):
        self.element, self.oid = element, oid
        self.depth = 0
        self.levels = [self.level()]

    cdef Buffer level(self):
        cdef Buffer made = Buffer.__new__(Buffer)
        made.put32(0)
        return made

    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef:
            int32_t dimensions, length
            int32_t lengths[MAX_DIMENSIONS]
            int64_t total = 1
            int64_t entries
            int64_t each
            int at
            int32_t before
            Buffer level
            const char* end = data + size
        if size < 12:
            raise garbled(f"expected an array, got {size} bytes")
        dimensions = <int32_t>be32(data)
        if dimensions < 0 or dimensions > MAX_DIMENSIONS:
            raise garbled(f"an array of {dimensions} dimensions")
        if be32(data + 8) != self.oid:
            raise OutdatedSchemaCacheError("an array has elements of another type")
        data += 12
        if end - data < 8 * dimensions:
            raise garbled("an array is cut off")
        for at in range(dimensions):
            lengths[at] = <int32_t>be32(data + 8 * at)
            if lengths[at] < 0:
                raise garbled("the length of an array is negative")
            total *= lengths[at]
            # A value takes four bytes at least.
            if total > (end - data) // 4:
                raise garbled("an array is cut off")
        data += 8 * dimensions
        if dimensions == 0 or total == 0:
            if data != end:
                raise garbled("bytes follow an array")
            level = self.levels[0]
            before = (<int32_t*>(level.data + level.size - 4))[0]
            level.put32(before)
            self.count()
            return 0
        if dimensions != self.depth:
            if self.depth:
                raise UnfitValue(
                    f"an array has {dimensions} dimensions, the ones before {self.depth}",
                    "select arrays of one number of dimensions",
                )
            self.depth = dimensions
            for at in range(1, dimensions):
                self.levels.append(self.level())
        if self.element.length + total > MAX_BYTES:
            raise UnfitValue("its arrays have too many elements", "read it in blocks, by stream_columns")
        entries = 1
        for at in range(dimensions):
            level = self.levels[at]
            before = (<int32_t*>(level.data + level.size - 4))[0]
            for each in range(entries):
                before += lengths[at]
                level.put32(before)
            entries *= lengths[at]
        for each in range(total):
            if end - data < 4:
                raise garbled("an array is cut off")
            length = <int32_t>be32(data)
            data += 4
            if length == -1:
                self.element.append_null()
                continue
            if length < 0 or length > end - data:
                raise garbled("an array is cut off")
            self.element.append(data, length)
            data += length
        if data != end:
            raise garbled("bytes follow an array")
        self.count()
        return 0

    cdef int append_null(self) except -1:
        cdef Buffer level = self.levels[0]
        cdef int32_t before = (<int32_t*>(level.data + level.size - 4))[0]
        level.put32(before)
        self.count_null()
        return 0

    def finish(self, str name):
        cdef Buffer level
        inner = self.element.finish("item")
        for level in self.levels[:0:-1]:
            level.trim()
            inner = ArrayData("+l", "item", level.size // 4 - 1, 0, (None, level), (inner,))
        return self.finished("+l", name, (self.levels[0],), (inner,))


@cython.final
cdef class StructBuilder(Builder):
    """Values of a composite type."""

    cdef:
        tuple fields
        tuple names
        tuple oids

    def __init__(self, fields, names, oids):
        self.fields, self.names, self.oids = tuple(fields), tuple(names), tuple(oids)

    cdef int append(self, const char* data, ssize_t size) except -1:
        cdef:
            const char* end = data + size
            ssize_t at
            int32_t length
        if size < 4:
            raise garbled("a composite value is cut off")
        if <int32_t>be32(data) != len(self.fields):
            raise OutdatedSchemaCacheError("a composite value has another number of fields")
        data += 4
        for at in range(len(self.fields)):
            if end - data < 8:
                raise garbled("a composite value is cut off")
            if be32(data) != <uint32_t>self.oids[at]:
                raise OutdatedSchemaCacheError("a field of a composite value has another type")
            length = <int32_t>be32(data + 4)
            data += 8
            if length == -1:
                (<Builder>self.fields[at]).append_null()
                continue
            if length < 0 or length > end - data:
                raise garbled("a composite value is cut off")
            (<Builder>self.fields[at]).append(data, length)
            data += length
        if data != end:
            raise garbled("bytes follow a composite value")
        self.count()
        return 0

    cdef int append_null(self) except -1:
        cdef ssize_t at
        for at in range(len(self.fields)):
            (<Builder>self.fields[at]).append_null()
        self.count_null()
        return 0

    def finish(self, str name):
        cdef Builder field
        children = [field.finish(of) for field, of in zip(self.fields, self.names)]
        return self.finished("+s", name, (), children)


# -- The reader --------------------------------------------------------------------------------------------

_MAKERS = {
    "int2": lambda _: Builder16("s", 2),
    "int4": lambda _: Builder32("i", 4),
    "int8": lambda _: Builder64("l", 8),
    "uint4": lambda _: Builder32("I", 4),
    "uint8": lambda _: Builder64("L", 8),
    "float4": lambda _: Builder32("f", 4),
    "float8": lambda _: Builder64("g", 8),
    "bool": lambda _: BoolBuilder("b", 1),
    "text": lambda _: BytesBuilder("u"),
    "ltree": lambda _: BytesBuilder("u", 1),
    "bytea": lambda _: BytesBuilder("z"),
    "json": lambda _: BytesBuilder("u", -1, EXTENSIONS["json"]),
    "jsonb": lambda _: BytesBuilder("u", 1, EXTENSIONS["json"]),
    "uuid": lambda _: UuidBuilder("w:16", 16, EXTENSIONS["uuid"]),
    "date": lambda _: DateBuilder("tdD", 4),
    "time": lambda _: TimeBuilder("ttu", 8),
    "timestamp": lambda _: TimestampBuilder("tsu:", 8),
    "timestamptz": lambda _: TimestampBuilder("tsu:UTC", 8),
    "interval": lambda _: IntervalBuilder("tDu", 8),
    "numeric": lambda type_: DecimalBuilder(type_.decimal),
    "enum": lambda type_: EnumBuilder(type_.labels),
    "vector": lambda type_: VectorBuilder("f", 4, type_.typmod),
    "halfvec": lambda type_: VectorBuilder("e", 2, type_.typmod),
    "array": lambda type_: ListBuilder(_builder(type_.parts[0][1]), type_.parts[0][1].oid),
    "composite": lambda type_: StructBuilder(
        [_builder(part) for _, part in type_.parts],
        [name for name, _ in type_.parts],
        [part.oid for _, part in type_.parts],
    ),
}


def _builder(type_):
    return _MAKERS[type_.kind](type_)


cdef class ColumnReader(RowReader):
    """Reads the rows of one call into columns: pairs of a name and a `ColumnType`.

    It is what it returns for each row. The names of the query and of its file are for errors.
    """

    def __init__(self, columns, str query="", str file=""):
        self.query, self.file = query, file
        self.names = tuple([name for name, _ in columns])
        self.builders = tuple([_builder(type_) for _, type_ in columns])
        self.count = len(self.builders)

    cdef object read(self, const char* data, ssize_t size):
        cdef:
            const char* end = data + size
            ssize_t at = 0
            int32_t length
        if size < 2:
            raise garbled("it has no columns")
        if be16(data) != self.count:
            raise garbled(f"expected {self.count} columns, got {be16(data)}")
        data += 2
        try:
            for at in range(self.count):
                if end - data < 4:
                    raise garbled("it is cut off")
                length = <int32_t>be32(data)
                data += 4
                if length == -1:
                    (<Builder>self.builders[at]).append_null()
                    continue
                if length < 0 or length > end - data:
                    raise garbled("it is cut off")
                (<Builder>self.builders[at]).append(data, length)
                data += length
        except UnfitValue as error:
            error.column = self.names[at]
            raise error.of(self.query, self.file) from None
        if data != end:
            raise garbled("bytes follow its columns")
        self.rows += 1
        return self

    def finish(self):
        """Return the arrays of the columns; the reader is used up."""
        cdef Builder builder
        arrays = [builder.finish(name) for name, builder in zip(self.names, self.builders)]
        self.builders = ()
        self.count = -1
        return arrays


cdef class BlockReader(RowReader):
    """Reads the rows of a stream: another `ColumnReader` for each block of so many rows."""

    cdef:
        object columns
        str query
        str file
        ssize_t block_rows
        ColumnReader block

    def __init__(self, columns, str query, str file, ssize_t block_rows):
        self.columns, self.query, self.file, self.block_rows = columns, query, file, block_rows

    cdef object read(self, const char* data, ssize_t size):
        if self.block is None or self.block.rows == self.block_rows:
            self.block = ColumnReader(self.columns, self.query, self.file)
        return self.block.read(data, size)


def columns_of_messages(columns, messages):
    """Return the arrays of rows that are given as DataRow messages, without their type and length."""
    cdef:
        ColumnReader reader = ColumnReader(columns)
        bytes message
    for message in messages:
        reader.read(<const char*>message, len(message))
    return reader.finish()


def described_columns(PreparedStatementState statement not None):
    """Return the name, the type's number and modifier, and whether it travels in the binary format, of each
    column of a statement's result.
    """
    cdef Codec codec
    statement._ensure_rows_decoder()
    found = []
    for row, each in zip(statement.row_desc or (), statement.rows_codecs or ()):
        codec = each
        found.append((row[0].decode(), row[3], row[5], codec.format == PG_FORMAT_BINARY))
    return found
