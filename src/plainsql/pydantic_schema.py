"""The schema of rows for Pydantic, so that FastAPI takes a row as a response model.

Pydantic calls ``__get_pydantic_core_schema__`` of a row type, and only then is this module imported: plainsql
does not depend on Pydantic. The method is described under "Custom types" in Pydantic's documentation.
"""

from __future__ import annotations

import operator
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextvars import ContextVar
from functools import reduce
from types import GenericAlias, UnionType
from typing import Annotated, Any, Protocol, Union, get_args, get_origin, get_type_hints

import msgspec
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import core_schema

from plainsql.errors import OptionError
from plainsql.types import RowMark

__all__ = ["SchemaHandler", "struct_schema", "vector_schema"]

_IN_PROGRESS: ContextVar[frozenset[type]] = ContextVar("_IN_PROGRESS", default=frozenset())


class SchemaHandler(Protocol):
    """The part of Pydantic's ``GetCoreSchemaHandler`` that is used here."""

    def generate_schema(self, source_type: Any, /) -> core_schema.CoreSchema:
        """Return the schema of a type."""
        ...


class _StructMark:
    """The mark in ``Annotated[S, …]`` of a struct that is no row: Pydantic knows no struct by itself."""

    def __get_pydantic_core_schema__(self, source: Any, handler: SchemaHandler) -> core_schema.CoreSchema:
        return struct_schema(source, handler)


class _Base64Mark:
    """The mark in ``Annotated[bytes, …]``: Base64 in JSON, as msgspec writes it, and not UTF-8."""

    def __get_pydantic_core_schema__(self, source: Any, handler: SchemaHandler) -> core_schema.CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(
                lambda text: b64decode(text, validate=True), core_schema.str_schema()
            ),
            python_schema=core_schema.bytes_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: b64encode(value).decode(),
                return_schema=core_schema.str_schema(),
                when_used="json-unless-none",
            ),
        )


def struct_schema(struct: type[msgspec.Struct], handler: SchemaHandler) -> core_schema.CoreSchema:
    """Return Pydantic's schema of a row type, a composite, or another struct in one of their fields.

    In Python it accepts an instance, which stays as it is, or a dict of the fields. In JSON it is an object
    with the names that msgspec writes. Fields are serialized by their own types, nested rows included.

    Raises ``OptionError`` if a field is encrypted, or has a type without a form in JSON.
    """
    ref = f"{struct.__module__}.{struct.__qualname__}:{id(struct)}"
    if struct in _IN_PROGRESS.get():
        return core_schema.definition_reference_schema(ref)
    token = _IN_PROGRESS.set(_IN_PROGRESS.get() | {struct})
    try:
        return _object_schema(struct, handler, ref)
    finally:
        _IN_PROGRESS.reset(token)


def vector_schema(vector: Any) -> core_schema.CoreSchema:
    """Return Pydantic's schema of a class of vectors: a list of numbers, and the text of a sparse one."""
    is_sparse = hasattr(vector, "indices")
    form = core_schema.str_schema() if is_sparse else core_schema.list_schema(core_schema.float_schema())
    made = core_schema.no_info_after_validator_function(vector.from_text if is_sparse else vector, form)
    return core_schema.json_or_python_schema(
        json_schema=made,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(vector), made]),
        serialization=core_schema.plain_serializer_function_ser_schema(
            vector.to_text if is_sparse else vector.to_list,
            return_schema=form,
            when_used="json-unless-none",
        ),
    )


def _object_schema(struct: type[msgspec.Struct], handler: SchemaHandler, ref: str) -> core_schema.CoreSchema:
    hints = get_type_hints(struct, include_extras=True)
    fields = msgspec.structs.fields(struct)
    members = {
        field.encode_name: core_schema.typed_dict_field(
            _field_schema(hints[field.name], f"{struct.__name__}.{field.name}", handler),
            required=field.required,
        )
        for field in fields
    }
    config = struct.__struct_config__
    tag: dict[str, Any] = {}
    if config.tag_field is not None:
        tag = {config.tag_field: config.tag}
        members |= {config.tag_field: core_schema.typed_dict_field(core_schema.literal_schema([config.tag]))}
    names = [(field.name, field.encode_name) for field in fields]

    def load(values: Mapping[str, Any]) -> msgspec.Struct:
        return struct(**{name: values[key] for name, key in names if key in values})

    def dump(value: msgspec.Struct) -> dict[str, Any]:
        return tag | {key: getattr(value, name) for name, key in names}

    object_ = core_schema.typed_dict_schema(members, cls=struct)
    loaded = core_schema.no_info_after_validator_function(load, object_)
    return core_schema.json_or_python_schema(
        json_schema=loaded,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(struct), loaded]),
        serialization=core_schema.plain_serializer_function_ser_schema(dump, return_schema=object_),
        ref=ref,
    )


def _field_schema(hint: Any, name: str, handler: SchemaHandler) -> core_schema.CoreSchema:
    marked = _with_struct_marks(hint, name)
    try:
        return handler.generate_schema(marked)
    except PydanticSchemaGenerationError:  # of no use without the field's name
        raise OptionError(
            f"{name}: its type has no form in JSON that Pydantic knows: {getattr(hint, '__name__', hint)}",
            hint="select what the response shows of it, such as lower(period), or write a model of your own",
        ) from None


def _with_struct_marks(hint: Any, name: str) -> Any:
    """Return the annotation with a mark at each struct that is no row, at any depth."""
    if hint is bytes:
        return Annotated[bytes, _Base64Mark()]
    if isinstance(hint, type) and get_origin(hint) is None:
        knows = hasattr(hint, "__get_pydantic_core_schema__") or not issubclass(hint, msgspec.Struct)
        return hint if knows else Annotated[hint, _StructMark()]
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin is Annotated:
        if any(isinstance(mark, RowMark) for mark in arguments[1:]):
            raise OptionError(
                f"{name} is encrypted, and is never serialized with its row",
                hint="write a model of your own, without this field or with its text on purpose",
            )
        # The marks are plainsql's: they mean nothing to Pydantic.
        return _with_struct_marks(arguments[0], name)
    if origin in (Union, UnionType):
        return reduce(operator.or_, (_with_struct_marks(argument, name) for argument in arguments))
    if origin in (list, dict, tuple, set, frozenset):
        return GenericAlias(origin, tuple(_with_struct_marks(argument, name) for argument in arguments))
    return hint
