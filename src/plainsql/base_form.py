"""The base form of a type with values of the project's own: the form that drivers and msgspec know.

JSON is decoded into the base form, and cached results are stored in it. Both make the project's values of it,
so a change of these functions is never hidden by an old result.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from plainsql.conversions import conversion_of, dumper, loader

__all__ = ["BaseForm", "base_form"]

Convert = Callable[[Any], Any]


class BaseForm(NamedTuple):
    """The base form of one type, and both ways; the functions never get null.

    ``restore`` raises ``DecodeError``, and ``reduce`` raises ``BindError``, if a function of the project
    raises an error.
    """

    type: Any
    reduce: Convert
    restore: Convert


def base_form(annotation: Any, where: str = "") -> BaseForm | None:
    """Return the base form of a type; ``None`` if nothing in it is converted.

    ``where`` is the place that errors name, if no field is nearer.
    """
    return _form(annotation, where, frozenset())


def _form(annotation: Any, where: str, outer: frozenset[Any]) -> BaseForm | None:
    if (conversion := conversion_of(annotation)) is not None:
        below = _form(conversion.base, where, outer) or BaseForm(conversion.base, _same, _same)
        dump = _same if conversion.to_db is None else dumper(conversion.to_db, where)
        return BaseForm(
            below.type, lambda value: below.reduce(dump(value)), loader(conversion, below.restore, where)
        )
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        form = _form(parts[0], where, outer)
        return None if form is None else form._replace(type=Annotated[form.type, *parts[1:]])
    if origin is list:
        form = _form(parts[0], where, outer)
        # As with other lists, an array with a null in it, or of several dimensions, is not stored.
        if form is None:
            return None
        is_nested = _is_list(parts[0])
        return BaseForm(
            list.__class_getitem__(form.type),
            _of_list(form.reduce, is_nested=is_nested),
            _of_list(form.restore, is_nested=is_nested),
        )
    if origin is dict:
        form = _form(parts[1], where, outer)
        return (
            None
            if form is None
            else BaseForm(dict.__class_getitem__((parts[0], form.type)), *_of_dicts(form))
        )
    if origin is tuple and parts and ... not in parts:
        return _form_of_tuple(parts, where, outer)
    if origin in (Union, UnionType):
        arms = [arm for arm in parts if arm is not NoneType]
        form = _form(arms[0], where, outer) if len(arms) == 1 else None
        if form is None:
            return None
        return BaseForm(Union[form.type, None], _or_null(form.reduce), _or_null(form.restore))  # noqa: UP007 (run time)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) and annotation not in outer:
        return _form_of_struct(annotation, outer | {annotation})
    return None


def _form_of_tuple(parts: tuple[Any, ...], where: str, outer: frozenset[Any]) -> BaseForm | None:
    forms = [_form(part, where, outer) for part in parts]
    if not any(forms):
        return None

    def convert(ways: list[Convert]) -> Convert:
        return lambda values: tuple(way(value) for way, value in zip(ways, values, strict=True))

    types = tuple(part if form is None else form.type for part, form in zip(parts, forms, strict=True))
    return BaseForm(
        tuple.__class_getitem__(types),
        convert([_same if form is None else _or_null(form.reduce) for form in forms]),
        convert([_same if form is None else _or_null(form.restore) for form in forms]),
    )


def _form_of_struct(struct: type[msgspec.Struct], outer: frozenset[Any]) -> BaseForm | None:
    try:
        hints = get_type_hints(struct, include_extras=True)
    except (NameError, TypeError):  # msgspec reports it, if the type is decoded at all
        return None
    if struct.__struct_config__.tag_field is not None:
        return None
    fields = msgspec.structs.fields(struct)
    names = [field.name for field in fields]
    forms = {
        name: form
        for name in names
        if (form := _form(hints[name], f"{struct.__name__}.{name}", outer)) is not None
    }
    if not forms:
        return None
    base = msgspec.defstruct(
        struct.__name__,
        [
            _base_field(field, forms[field.name].type if field.name in forms else hints[field.name])
            for field in fields
        ],
        rename={field.name: field.encode_name for field in fields},
        frozen=True,
        gc=False,
        kw_only=True,
    )

    def convert(target: Any, ways: dict[str, Convert]) -> Convert:
        def convert_fields(row: Any) -> Any:
            values = {name: getattr(row, name) for name in names}
            for name, way in ways.items():
                if (value := values[name]) is not None:
                    values[name] = way(value)
            return target(**values)

        return convert_fields

    return BaseForm(
        base,
        convert(base, {name: form.reduce for name, form in forms.items()}),
        convert(struct, {name: form.restore for name, form in forms.items()}),
    )


def _base_field(field: msgspec.structs.FieldInfo, type_: Any) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.name, type_, field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return field.name, type_, msgspec.field(default_factory=field.default_factory)
    return field.name, type_


def _is_list(annotation: Any) -> bool:
    """Return whether a type is a list, or null."""
    if get_origin(annotation) is Annotated:
        return conversion_of(annotation) is None and _is_list(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return any(map(_is_list, get_args(annotation)))
    return get_origin(annotation) is list


def _of_list(convert: Convert, *, is_nested: bool) -> Convert:
    """Return the function for the values of a list; an array may have more dimensions than its type."""

    def convert_all(values: Any) -> Any:
        return [
            None
            if each is None
            else convert_all(each)
            if isinstance(each, list) and not is_nested
            else convert(each)
            for each in values
        ]

    return convert_all


def _of_dicts(form: BaseForm) -> tuple[Convert, Convert]:
    def convert(way: Convert) -> Convert:
        return lambda values: {key: None if each is None else way(each) for key, each in values.items()}

    return convert(form.reduce), convert(form.restore)


def _or_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _same(value: Any) -> Any:
    return value
