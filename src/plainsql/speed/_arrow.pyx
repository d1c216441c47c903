# cython: language_level=3
"""Arrow's C data interface, both ways: arrays as capsules for other libraries, and their streams as buffers.

https://arrow.apache.org/docs/format/CDataInterface.html has the structs and their rules: the consumer calls
`release` once, from any thread. An exported array holds references to its buffers until then.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EIO
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset, strlen

from plainsql.columns.array_data import ArrayData

__all__ = ["ImportedStream", "export_array", "export_schema", "export_stream"]

cdef extern from * nogil:
    """
    #ifndef ARROW_C_DATA_INTERFACE
    #define ARROW_C_DATA_INTERFACE
    struct ArrowSchema {
      const char* format; const char* name; const char* metadata; int64_t flags; int64_t n_children;
      struct ArrowSchema** children; struct ArrowSchema* dictionary;
      void (*release)(struct ArrowSchema*); void* private_data;
    };
    struct ArrowArray {
      int64_t length; int64_t null_count; int64_t offset; int64_t n_buffers; int64_t n_children;
      const void** buffers; struct ArrowArray** children; struct ArrowArray* dictionary;
      void (*release)(struct ArrowArray*); void* private_data;
    };
    #endif
    #ifndef ARROW_C_STREAM_INTERFACE
    #define ARROW_C_STREAM_INTERFACE
    struct ArrowArrayStream {
      int (*get_schema)(struct ArrowArrayStream*, struct ArrowSchema* out);
      int (*get_next)(struct ArrowArrayStream*, struct ArrowArray* out);
      const char* (*get_last_error)(struct ArrowArrayStream*);
      void (*release)(struct ArrowArrayStream*); void* private_data;
    };
    #endif
    """
    struct ArrowSchema:
        const char* format
        const char* name
        const char* metadata
        int64_t flags
        int64_t n_children
        ArrowSchema** children
        ArrowSchema* dictionary
        void (*release)(ArrowSchema*) noexcept nogil
        void* private_data

    struct ArrowArray:
        int64_t length
        int64_t null_count
        int64_t offset
        int64_t n_buffers
        int64_t n_children
        const void** buffers
        ArrowArray** children
        ArrowArray* dictionary
        void (*release)(ArrowArray*) noexcept nogil
        void* private_data

    struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept nogil
        int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept nogil
        const char* (*get_last_error)(ArrowArrayStream*) noexcept nogil
        void (*release)(ArrowArrayStream*) noexcept nogil
        void* private_data

cdef extern from "Python.h" nogil:
    int Py_IsInitialized()

cdef enum:
    FLAG_NULLABLE = 2


# -- Schemas -----------------------------------------------------------------------------------------------


cdef char* copied(bytes text) except NULL:
    cdef char* made = <char*>malloc(len(text) + 1)
    if made == NULL:
        raise MemoryError
    memcpy(made, <const char*>text, len(text) + 1)
    return made


cdef void release_schema(ArrowSchema* schema) noexcept nogil:
    cdef int64_t at
    free(<void*>schema.format)
    free(<void*>schema.name)
    free(<void*>schema.metadata)
    if schema.children != NULL:
        for at in range(schema.n_children):
            if schema.children[at] != NULL:
                if schema.children[at].release != NULL:
                    schema.children[at].release(schema.children[at])
                free(schema.children[at])
        free(schema.children)
    if schema.dictionary != NULL:
        if schema.dictionary.release != NULL:
            schema.dictionary.release(schema.dictionary)
        free(schema.dictionary)
    schema.release = NULL


cdef bytes metadata_of(dict metadata):
    """Return key and value pairs as the interface has them: numbers of four bytes in front of each text."""
    cdef int32_t number = len(metadata)
    cdef bytes found = (<char*>&number)[:4]
    for text in [text.encode() for pair in metadata.items() for text in pair]:
        number = len(text)
        found += (<char*>&number)[:4] + text
    return found


cdef int fill_schema(ArrowSchema* schema, node) except -1:
    cdef int64_t at
    memset(schema, 0, sizeof(ArrowSchema))
    # From here on the struct can be released, however much of it is filled in.
    schema.release = release_schema
    schema.format = copied(node.format.encode())
    schema.name = copied(node.name.encode())
    if node.metadata:
        schema.metadata = copied(metadata_of(node.metadata))
    schema.flags = FLAG_NULLABLE
    if node.children:
        schema.children = <ArrowSchema**>calloc(len(node.children), sizeof(ArrowSchema*))
        if schema.children == NULL:
            raise MemoryError
        schema.n_children = len(node.children)
        for at in range(schema.n_children):
            schema.children[at] = <ArrowSchema*>calloc(1, sizeof(ArrowSchema))
            if schema.children[at] == NULL:
                raise MemoryError
            fill_schema(schema.children[at], node.children[at])
    if node.dictionary is not None:
        schema.dictionary = <ArrowSchema*>calloc(1, sizeof(ArrowSchema))
        if schema.dictionary == NULL:
            raise MemoryError
        fill_schema(schema.dictionary, node.dictionary)
    return 0


cdef void destroy_schema(object capsule) noexcept:
    cdef ArrowSchema* schema = <ArrowSchema*>PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


def export_schema(node):
    """Return the capsule ``arrow_schema`` of an array's type."""
    cdef ArrowSchema* schema = <ArrowSchema*>calloc(1, sizeof(ArrowSchema))
    if schema == NULL:
        raise MemoryError
    capsule = PyCapsule_New(schema, "arrow_schema", destroy_schema)
    fill_schema(schema, node)
    return capsule


# -- Arrays ------------------------------------------------------------------------------------------------


cdef struct Held:
    Py_ssize_t count
    Py_buffer* views


cdef void release_array(ArrowArray* array) noexcept nogil:
    cdef int64_t at
    cdef Held* held = <Held*>array.private_data
    if array.children != NULL:
        for at in range(array.n_children):
            if array.children[at] != NULL:
                # A consumer may have moved a child out, which is marked as released then.
                if array.children[at].release != NULL:
                    array.children[at].release(array.children[at])
                free(array.children[at])
        free(array.children)
    if array.dictionary != NULL:
        if array.dictionary.release != NULL:
            array.dictionary.release(array.dictionary)
        free(array.dictionary)
    if held != NULL:
        # After the end of the interpreter there is nothing to give back to it.
        if held.count and Py_IsInitialized():
            release_views(held)
        free(held.views)
        free(held)
    free(array.buffers)
    array.release = NULL


cdef void release_views(Held* held) noexcept with gil:
    cdef Py_ssize_t at
    for at in range(held.count):
        PyBuffer_Release(&held.views[at])


cdef int fill_array(ArrowArray* array, node) except -1:
    cdef:
        int64_t at
        Held* held
        Py_ssize_t count = len(node.buffers)
    memset(array, 0, sizeof(ArrowArray))
    array.release = release_array
    array.length = node.length
    array.null_count = node.nulls
    held = <Held*>calloc(1, sizeof(Held))
    if held == NULL:
        raise MemoryError
    array.private_data = held
    held.views = <Py_buffer*>calloc(count + 1, sizeof(Py_buffer))
    array.buffers = <const void**>calloc(count + 1, sizeof(void*))
    if held.views == NULL or array.buffers == NULL:
        raise MemoryError
    array.n_buffers = count
    for at in range(count):
        buffer = node.buffers[at]
        if buffer is None:
            continue
        PyObject_GetBuffer(buffer, &held.views[held.count], PyBUF_SIMPLE)
        array.buffers[at] = held.views[held.count].buf
        held.count += 1
    if node.children:
        array.children = <ArrowArray**>calloc(len(node.children), sizeof(ArrowArray*))
        if array.children == NULL:
            raise MemoryError
        array.n_children = len(node.children)
        for at in range(array.n_children):
            array.children[at] = <ArrowArray*>calloc(1, sizeof(ArrowArray))
            if array.children[at] == NULL:
                raise MemoryError
            fill_array(array.children[at], node.children[at])
    if node.dictionary is not None:
        array.dictionary = <ArrowArray*>calloc(1, sizeof(ArrowArray))
        if array.dictionary == NULL:
            raise MemoryError
        fill_array(array.dictionary, node.dictionary)
    return 0


cdef void destroy_array(object capsule) noexcept:
    cdef ArrowArray* array = <ArrowArray*>PyCapsule_GetPointer(capsule, "arrow_array")
    if array.release != NULL:
        array.release(array)
    free(array)


def export_array(node):
    """Return the capsules ``arrow_schema`` and ``arrow_array`` of an array."""
    schema = export_schema(node)
    cdef ArrowArray* array = <ArrowArray*>calloc(1, sizeof(ArrowArray))
    if array == NULL:
        raise MemoryError
    capsule = PyCapsule_New(array, "arrow_array", destroy_array)
    fill_array(array, node)
    return schema, capsule


# -- Streams -----------------------------------------------------------------------------------------------


cdef class Sent:
    """The state of an exported stream: its batches, and the last error's text."""

    cdef:
        object schema
        object batches
        bytes error


cdef int get_schema(ArrowArrayStream* stream, ArrowSchema* out) noexcept with gil:
    cdef Sent sent = <Sent>stream.private_data
    try:
        fill_schema(out, sent.schema)
    except BaseException as error:
        sent.error = repr(error).encode()
        if out.release != NULL:
            out.release(out)
        return EIO
    return 0


cdef int get_next(ArrowArrayStream* stream, ArrowArray* out) noexcept with gil:
    cdef Sent sent = <Sent>stream.private_data
    memset(out, 0, sizeof(ArrowArray))
    try:
        batch = next(sent.batches, None)
        if batch is not None:
            fill_array(out, batch)
    except BaseException as error:
        sent.error = repr(error).encode()
        if out.release != NULL:
            out.release(out)
        return EIO
    return 0


cdef const char* get_last_error(ArrowArrayStream* stream) noexcept with gil:
    cdef Sent sent = <Sent>stream.private_data
    return NULL if sent.error is None else <const char*>sent.error


cdef void release_stream(ArrowArrayStream* stream) noexcept nogil:
    if Py_IsInitialized():
        release_sent(stream)
    stream.release = NULL


cdef void release_sent(ArrowArrayStream* stream) noexcept with gil:
    Py_DECREF(<object>stream.private_data)


cdef void destroy_stream(object capsule) noexcept:
    cdef ArrowArrayStream* stream = <ArrowArrayStream*>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    if stream.release != NULL:
        stream.release(stream)
    free(stream)


def export_stream(schema, batches):
    """Return the capsule ``arrow_array_stream`` of arrays that have the type of `schema`."""
    cdef Sent sent = Sent.__new__(Sent)
    sent.schema = schema
    sent.batches = iter(batches)
    cdef ArrowArrayStream* stream = <ArrowArrayStream*>calloc(1, sizeof(ArrowArrayStream))
    if stream == NULL:
        raise MemoryError
    capsule = PyCapsule_New(stream, "arrow_array_stream", destroy_stream)
    Py_INCREF(sent)
    stream.private_data = <PyObject*>sent
    stream.get_schema = get_schema
    stream.get_next = get_next
    stream.get_last_error = get_last_error
    stream.release = release_stream
    return capsule


# -- Streams of others -------------------------------------------------------------------------------------


cdef class Received:
    """An array of another library, released with the last of its buffers."""

    cdef ArrowArray array

    def __dealloc__(self):
        if self.array.release != NULL:
            self.array.release(&self.array)


cdef class Part:
    """A buffer of a received array."""

    cdef:
        Received owner
        const void* data
        Py_ssize_t size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, <void*>self.data, self.size, 1, flags)


cdef part(Received owner, const void* data, Py_ssize_t size):
    cdef Part made
    if data == NULL or size <= 0:
        return memoryview(b"")
    made = Part.__new__(Part)
    made.owner, made.data, made.size = owner, data, size
    return memoryview(made)


cdef schema_node(ArrowSchema* schema):
    """Return a schema as an `ArrayData` without content."""
    cdef:
        int32_t number, size
        const char* at = schema.metadata
        list texts = []
        str name = ""
    if schema.name != NULL:
        name = schema.name.decode("utf-8", "replace")
    if at != NULL:
        memcpy(&number, at, 4)
        at += 4
        for _ in range(2 * number):
            memcpy(&size, at, 4)
            texts.append((at + 4)[:size].decode("utf-8", "replace"))
            at += 4 + size
    return ArrayData(
        schema.format.decode(),
        name,
        metadata=dict(zip(texts[::2], texts[1::2])),
        children=tuple([schema_node(schema.children[at_]) for at_ in range(schema.n_children)]),
        dictionary=None if schema.dictionary == NULL else schema_node(schema.dictionary),
    )


cdef array_node(ArrowArray* array, node, Received owner, widths):
    """Return an array as an `ArrayData`: its buffers have the sizes that its type and length say."""
    cdef:
        Py_ssize_t end = array.length + array.offset
        Py_ssize_t size
        int at
        str format = node.format
        list buffers = []
        object width
    if array.n_children != len(node.children) or (array.dictionary == NULL) != (node.dictionary is None):
        raise ValueError("the stream has an array of another type than its schema")
    for at in range(array.n_buffers):
        width = widths(format, at)
        if width is None:  # the data behind offsets, or behind views
            if format in ("u", "z"):
                size = 0 if end == 0 or array.buffers[1] == NULL else (<int32_t*>array.buffers[1])[end]
            elif format in ("U", "Z"):
                size = 0 if end == 0 or array.buffers[1] == NULL else (<int64_t*>array.buffers[1])[end]
            elif at == array.n_buffers - 1:
                size = 8 * (array.n_buffers - 3)
            else:
                size = (<int64_t*>array.buffers[array.n_buffers - 1])[at - 2]
        else:
            bits, more = width
            size = ((end + more) * bits + 7) // 8
        buffers.append(None if array.buffers[at] == NULL else part(owner, array.buffers[at], size))
    children = [
        array_node(array.children[at], node.children[at], owner, widths) for at in range(array.n_children)
    ]
    dictionary = None
    if array.dictionary != NULL:
        dictionary = array_node(array.dictionary, node.dictionary, owner, widths)
    return node._replace(
        length=array.length,
        nulls=array.null_count,
        buffers=tuple(buffers),
        children=tuple(children),
        dictionary=dictionary,
        offset=array.offset,
    )


cdef class ImportedStream:
    """A stream of another library as an iterator of `ArrayData`; ``schema`` is its type.

    ``widths`` returns the bits of an element of a buffer, and the number of elements more than the array's.
    """

    cdef:
        ArrowArrayStream stream
        object widths
        readonly object schema

    def __init__(self, capsule, widths):
        cdef:
            ArrowArrayStream* given
            ArrowSchema schema
        if not PyCapsule_IsValid(capsule, "arrow_array_stream"):
            raise TypeError("expected a capsule named arrow_array_stream")
        given = <ArrowArrayStream*>PyCapsule_GetPointer(capsule, "arrow_array_stream")
        if given.release == NULL:
            raise ValueError("the stream was read already")
        self.stream = given[0]
        given.release = NULL
        self.widths = widths
        memset(&schema, 0, sizeof(schema))
        with nogil:
            code = self.stream.get_schema(&self.stream, &schema)
        self.check(code)
        try:
            self.schema = schema_node(&schema)
        finally:
            if schema.release != NULL:
                schema.release(&schema)

    cdef check(self, int code):
        cdef const char* text
        if code:
            text = self.stream.get_last_error(&self.stream)
            raise OSError(code, "the stream failed" if text == NULL else text.decode("utf-8", "replace"))

    def __iter__(self):
        return self

    def __next__(self):
        cdef Received received = Received.__new__(Received)
        with nogil:
            code = self.stream.get_next(&self.stream, &received.array)
        self.check(code)
        if received.array.release == NULL:
            raise StopIteration
        return array_node(&received.array, self.schema, received, self.widths)

    def __dealloc__(self):
        if self.stream.release != NULL:
            self.stream.release(&self.stream)
