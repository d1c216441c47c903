# The values of one type, of the bytes that the server sends: a part of `_rows.pyx`.

# -- Numbers in network order -------------------------------------------------------------------------------


cdef inline uint16_t _u16(const char* p) noexcept nogil:
    return (<uint16_t>(<uint8_t>p[0]) << 8) | <uint8_t>p[1]


cdef inline uint32_t _u32(const char* p) noexcept nogil:
    return (
        (<uint32_t>(<uint8_t>p[0]) << 24)
        | (<uint32_t>(<uint8_t>p[1]) << 16)
        | (<uint32_t>(<uint8_t>p[2]) << 8)
        | <uint32_t>(<uint8_t>p[3])
    )


cdef inline uint64_t _u64(const char* p) noexcept nogil:
    return (<uint64_t>_u32(p) << 32) | _u32(p + 4)


cdef inline int32_t _i32(const char* p) noexcept nogil:
    return <int32_t>_u32(p)


cdef inline int64_t _i64(const char* p) noexcept nogil:
    return <int64_t>_u64(p)


# -- Values of one type -------------------------------------------------------------------------------------


cdef inline PyObject* _float4(const char* p) noexcept:
    cdef:
        uint32_t bits = _u32(p)
        float number
    memcpy(&number, &bits, 4)
    return c_float(number)


cdef inline PyObject* _float8(const char* p) noexcept:
    cdef:
        uint64_t bits = _u64(p)
        double number
    memcpy(&number, &bits, 8)
    return c_float(number)


cdef inline PyObject* _text(const char* p, ssize_t size) noexcept:
    return c_text(p, size, NULL)


cdef inline bint _civil(int64_t days, int* year, int* month, int* day) noexcept nogil:
    """Make a date of the days since 2000; false beyond Python's years.

    The days are counted from a 1 March in eras of 400 years, so that the leap day is the last of a year.
    """
    cdef int64_t era, of_era, year_of_era, of_year, shifted, found
    if days < -730119 or days > 2921939:
        return False
    days += 730425  # since 1 March of year 0
    era = days // 146097
    of_era = days - era * 146097
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    day[0] = <int>(of_year - (153 * shifted + 2) // 5 + 1)
    month[0] = <int>(shifted + 3 if shifted < 10 else shifted - 9)
    found = year_of_era + era * 400 + (1 if month[0] <= 2 else 0)
    year[0] = <int>found
    return True


cdef inline PyObject* _date(int32_t days) noexcept:
    cdef int year = 0, month = 0, day = 0
    if not _civil(days, &year, &month, &day):
        return NULL
    return PyDateTimeAPI.Date_FromDate(year, month, day, PyDateTimeAPI.DateType)


cdef inline PyObject* _timestamp(int64_t us, PyObject* zone) noexcept:
    cdef:
        int year = 0, month = 0, day = 0
        int64_t days, rest
        int32_t seconds
    days = us // DAY_US
    rest = us - days * DAY_US
    if rest < 0:
        rest += DAY_US
        days -= 1
    if not _civil(days, &year, &month, &day):
        return NULL
    seconds = <int32_t>(rest // 1_000_000)
    return PyDateTimeAPI.DateTime_FromDateAndTime(
        year,
        month,
        day,
        seconds // 3600,
        seconds // 60 % 60,
        seconds % 60,
        <int>(rest - <int64_t>seconds * 1_000_000),
        zone,
        PyDateTimeAPI.DateTimeType,
    )


cdef inline PyObject* _time(int64_t us) noexcept:
    cdef int32_t seconds
    if us < 0 or us >= DAY_US:
        return NULL
    seconds = <int32_t>(us // 1_000_000)
    return PyDateTimeAPI.Time_FromTime(
        seconds // 3600,
        seconds // 60 % 60,
        seconds % 60,
        <int>(us - <int64_t>seconds * 1_000_000),
        Py_None,
        PyDateTimeAPI.TimeType,
    )


cdef inline PyObject* _interval(const char* p) noexcept:
    cdef:
        int64_t us = _i64(p)
        int64_t days = _i32(p + 8)
        int64_t months = _i32(p + 12)
        int64_t whole
    if us == INFINITY_US or us == NEGATIVE_INFINITY_US:
        return NULL
    whole = us // DAY_US
    us -= whole * DAY_US
    if us < 0:
        us += DAY_US
        whole -= 1
    # C divides towards zero, as years of negative months are counted.
    days += whole + months // 12 * 365 + months % 12 * 30
    if days < -999_999_999 or days > 999_999_999:
        return NULL
    return PyDateTimeAPI.Delta_FromDelta(
        <int>days, <int>(us // 1_000_000), <int>(us % 1_000_000), 0, PyDateTimeAPI.DeltaType
    )


cdef PyObject* _numeric(const char* p, ssize_t size) noexcept:
    """Make a Decimal of the digits that are sent, with the exponent that asyncpg gives it."""
    cdef:
        char characters[160]
        char* text = characters
        ssize_t groups, length, zeros, group
        int32_t weight, scale, sign, exponent, fraction, digits
        PyObject* written
        PyObject* number
    if size < 8:
        return NULL
    groups = _u16(p)
    weight = <int16_t>_u16(p + 2)
    sign = _u16(p + 4)
    scale = _u16(p + 6)
    if size != 8 + 2 * groups or groups > 30 or scale > 100 or (sign != 0 and sign != 0x4000):
        return NULL
    fraction = <int32_t>(groups - weight - 1) * 4
    if groups == 0:
        exponent = -scale
        zeros = 1
    elif scale == 0:
        exponent = -fraction
        zeros = 0
    else:
        exponent = -scale
        zeros = scale - fraction
    if zeros < -3 or zeros > 20 or exponent > 999 or exponent < -999:
        return NULL
    if sign and groups:
        text[0] = b'-'
        text += 1
    for group in range(groups):
        digits = _u16(p + 8 + 2 * group)
        if digits > 9999:
            return NULL
        text[0] = <char>(48 + digits // 1000)
        text[1] = <char>(48 + digits // 100 % 10)
        text[2] = <char>(48 + digits // 10 % 10)
        text[3] = <char>(48 + digits % 10)
        text += 4
    if zeros < 0:
        text += zeros
    while zeros > 0:
        text[0] = b'0'
        text += 1
        zeros -= 1
    if exponent:
        text[0] = b'E'
        text[1] = b'-' if exponent < 0 else b'+'
        exponent = -exponent if exponent < 0 else exponent
        text[2] = <char>(48 + exponent // 100)
        text[3] = <char>(48 + exponent // 10 % 10)
        text[4] = <char>(48 + exponent % 10)
        text += 5
    length = text - characters
    written = c_ascii(length, 127)
    if written == NULL:
        return NULL
    memcpy(c_characters(written), characters, length)
    number = c_call(_DECIMAL, written)
    c_decref(written)
    return number


cdef object _vector(Column column, const char* p, ssize_t size):
    """Make pgvector's vector of numbers that are turned to the machine's order while they are copied."""
    cdef:
        ssize_t count, index
        c_array.array numbers
        PyTypeObject* target = <PyTypeObject*><PyObject*>column.target
    if size < 4 or _u16(p + 2) != 0:
        raise ValueError
    count = _u16(p)
    if size != 4 + count * (4 if column.kind == VECTOR else 2):
        raise ValueError
    p += 4
    if column.kind == VECTOR:
        numbers = c_array.clone(_FLOATS, count, False)
        for index in range(count):
            numbers.data.as_uints[index] = _u32(p + 4 * index)
    else:
        numbers = c_array.clone(_HALVES, count, False)
        for index in range(count):
            numbers.data.as_ushorts[index] = _u16(p + 2 * index)
    made = _owned((<c_type*>target).tp_alloc(target, 0))
    made._value = numbers
    return made


cdef bint _is_kept(from_binary, bytes data, kept):
    """Return whether a vector is an object with one attribute, and that is an array of its numbers."""
    made = getattr(from_binary(data), "__dict__", None)
    return made == {"_value": kept} and made["_value"].typecode == kept.typecode
