# The checks of values that asyncpg reads: a part of `_rows.pyx`.

# -- Values that asyncpg reads ------------------------------------------------------------------------------


cdef bint _is_sound(
    Codec codec, ConnectionSettings settings, const char* p, ssize_t size, int depth
) noexcept:
    """Return false for a value that would lead asyncpg's decoder astray: it trusts the lengths in a value.

    A value of another shape than its type has is sound: asyncpg finds that out, and its error says it.
    """
    cdef:
        ssize_t count, index
        void* decoder
        Codec part
    if depth > MAX_DEPTH:
        return False
    if codec is None or codec.format != PG_FORMAT_BINARY:
        return True
    if codec.type == CODEC_ARRAY:
        return _is_sound_array(codec.element_codec, settings, p, size, depth)
    if codec.type == CODEC_COMPOSITE:
        if size < 4 or <ssize_t>_u32(p) != len(codec.element_type_oids):
            return True
        return _are_sound_parts(codec, settings, p + 4, size - 4, <ssize_t>_u32(p), depth)
    if codec.type == CODEC_RANGE:
        return _is_sound_range(codec.element_codec, settings, p, size, depth)
    if codec.type == CODEC_MULTIRANGE:
        if size < 4:
            return True
        count = _i32(p)
        if count < 0 or count > size:
            return False
        p, size = p + 4, size - 4
        for index in range(count):
            if not _is_length(p, size) or _i32(p) < 0:
                return False
            if not _is_sound_range(codec.element_codec, settings, p + 4, _i32(p), depth):
                return False
            p, size = p + 4 + _i32(p), size - 4 - _i32(p)
        return True
    if codec.type == CODEC_PY:
        if codec.xformat == PG_XFORMAT_OBJECT:
            return True
        if codec.base_codec is not None:
            return _is_sound(codec.base_codec, settings, p, size, depth + 1)
    decoder = <void*>codec.c_decoder
    if decoder == <void*>pgproto.numeric_decode_binary:
        return _is_sound_numeric(p, size)
    if decoder == <void*>pgproto.path_decode:
        return size >= 5 and 0 <= _i32(p + 1) <= size // 16
    if decoder == <void*>pgproto.poly_decode:
        return size >= 4 and 0 <= _i32(p) <= size // 16
    if decoder == <void*>pgproto.pg_snapshot_decode:
        return size >= 4 and 0 <= _i32(p) <= size // 8
    if codec.oid == RECORD_OID:
        if size < 4:
            return True
        if <ssize_t>_u32(p) > size // 8:
            return False
        return _are_sound_parts(None, settings, p + 4, size - 4, <ssize_t>_u32(p), depth)
    if codec.kind == "array":
        return _is_sound_array(None, settings, p, size, depth)
    return True


cdef inline bint _is_length(const char* p, ssize_t size) noexcept:
    """Return whether a length and as many bytes, or none for null, begin at `p`."""
    return size >= 4 and -1 <= _i32(p) <= size - 4


cdef bint _is_sound_array(
    Codec element, ConnectionSettings settings, const char* p, ssize_t size, int depth
) noexcept:
    cdef:
        int32_t dimensions, index
        int64_t count = 1
    if size < 12 or _i32(p) == 0:
        return True
    dimensions = _i32(p)
    if dimensions < 0 or dimensions > MAX_DIMENSIONS or size < 12 + 8 * dimensions:
        return False
    p, size = p + 12, size - 12
    for index in range(dimensions):
        if _i32(p) < 0:
            return False
        count *= _i32(p)
        if count > size:
            return False
        p, size = p + 8, size - 8
    while count > 0:
        if not _is_length(p, size):
            return False
        if _i32(p) > 0 and not _is_sound(element, settings, p + 4, _i32(p), depth + 1):
            return False
        index = 4 + max(_i32(p), 0)
        p, size, count = p + index, size - index, count - 1
    return True


cdef bint _is_sound_range(
    Codec bound, ConnectionSettings settings, const char* p, ssize_t size, int depth
) noexcept:
    cdef:
        uint8_t flags
        ssize_t length
        int side
    if size < 1:
        return True
    flags = <uint8_t>p[0]
    p, size = p + 1, size - 1
    for side in range(2):
        if flags & (NO_UPPER_BOUND if side else NO_LOWER_BOUND):
            continue
        if not _is_length(p, size):
            return False
        if _i32(p) > 0 and not _is_sound(bound, settings, p + 4, _i32(p), depth + 1):
            return False
        length = 4 + max(_i32(p), 0)
        p, size = p + length, size - length
    return True


cdef bint _are_sound_parts(
    Codec composite, ConnectionSettings settings, const char* p, ssize_t size, ssize_t count, int depth
) noexcept:
    """Return whether the parts of a composite value, or of an anonymous record, lie within it."""
    cdef:
        ssize_t index, length
        Codec part
    for index in range(count):
        if size < 4 or not _is_length(p + 4, size - 4):
            return False
        length = _i32(p + 4)
        if length > 0:
            if composite is not None:
                part = composite.element_codecs[index]
            else:
                part = _codec_of(settings, _u32(p))
            if not _is_sound(part, settings, p + 8, length, depth + 1):
                return False
        length = 8 + max(length, 0)
        p, size = p + length, size - length
    return True


cdef Codec _codec_of(ConnectionSettings settings, uint32_t oid):
    try:
        return settings.get_data_codec(oid)
    except Exception:
        return None  # asyncpg raises it again


cdef bint _is_sound_numeric(const char* p, ssize_t size) noexcept:
    cdef ssize_t groups, index
    cdef int32_t sign, fraction
    if size < 8:
        return True
    groups, sign = _u16(p), _u16(p + 4)
    if sign == 0xC000 or sign == 0xD000 or sign == 0xF000:
        return True
    if size != 8 + 2 * groups or (sign != 0 and sign != 0x4000):
        return False
    for index in range(groups):
        if _u16(p + 8 + 2 * index) > 9999:
            return False
    # The digits after the point are at most as many as the last group is long beyond the scale.
    fraction = <int32_t>(groups - <int16_t>_u16(p + 2) - 1) * 4
    return groups == 0 or <int32_t>_u16(p + 6) - fraction >= -3
