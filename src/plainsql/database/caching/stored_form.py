"""The form in which results with values of the project's own types are stored: that of the database.

A stored result has the values that the project's functions make for the database, and each read makes the
project's values of them again. So a change of these functions is never hidden by an old result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from plainsql.cache.cached_query import Codec
from plainsql.conversions import conversion_of
from plainsql.rows import Composite, Row

__all__ = ["ConvertingCodec", "StoredForm", "stored_form"]

T = TypeVar("T")
Convert = Callable[[Any], Any]


class StoredForm(NamedTuple):
    """The stored form of one type, and both ways to it; the functions never get null."""

    type: Any
    store: Convert
    restore: Convert


class ConvertingCodec(Codec[T]):
    """The codec of results that are stored in another form."""

    __slots__ = ("_form",)

    def __init__(self, form: StoredForm) -> None:
        super().__init__(form.type)
        self._form = form

    def encode(self, value: T) -> bytes:
        """Return a value as bytes. Raises ``ValueError`` if that is impossible."""
        return super().encode(_converted(self._form.store, value))

    def decode(self, data: bytes) -> T:
        """Return the value. Raises ``ValueError`` for bytes that ``encode`` has not made."""
        value: T = _converted(self._form.restore, super().decode(data))
        return value


def stored_form(annotation: Any) -> StoredForm | None:
    """Return the stored form of a type; ``None`` if nothing in it is converted."""
    if (conversion := conversion_of(annotation)) is not None:
        below = stored_form(conversion.base) or StoredForm(conversion.base, _same, _same)
        to_db, from_db = conversion.to_db or _same, conversion.from_db
        return StoredForm(
            below.type,
            lambda value: below.store(to_db(value)),
            lambda value: from_db(below.restore(value)),
        )
    if get_origin(annotation) is list:
        return _form_of_list(annotation)
    arms = get_args(annotation)
    if type(None) in arms:
        (inner,) = [arm for arm in arms if arm is not type(None)] if len(arms) == 2 else [None]
        form = stored_form(inner) if inner is not None else None
        if form is None:
            return None
        return StoredForm(Union[form.type, None], _or_null(form.store), _or_null(form.restore))  # noqa: UP007 (run time)
    if isinstance(annotation, type) and issubclass(annotation, Row | Composite):
        return _form_of_struct(annotation)
    return None


def _form_of_list(annotation: Any) -> StoredForm | None:
    (element,) = get_args(annotation)
    form = stored_form(element)
    if form is None:
        return None

    def elements(convert: Convert) -> Convert:
        def convert_all(values: Any) -> Any:
            return [
                None if each is None else convert_all(each) if isinstance(each, list) else convert(each)
                for each in values
            ]

        return convert_all

    # As with other lists, an array with a null in it, or of several dimensions, is not stored.
    return StoredForm(list.__class_getitem__(form.type), elements(form.store), elements(form.restore))


def _form_of_struct(struct: type[msgspec.Struct]) -> StoredForm | None:
    hints = get_type_hints(struct, include_extras=True)
    names = [field.name for field in msgspec.structs.fields(struct)]
    forms = {name: form for name in names if (form := stored_form(hints[name])) is not None}
    if not forms:
        return None
    fields = [(name, forms[name].type if name in forms else hints[name]) for name in names]
    stored = msgspec.defstruct(struct.__name__, fields, frozen=True, gc=False)

    def convert(target: Any, ways: dict[str, Convert]) -> Convert:
        def convert_fields(row: Any) -> Any:
            values = {name: getattr(row, name) for name in names}
            for name, way in ways.items():
                if (value := values[name]) is not None:
                    values[name] = way(value)
            return target(**values)

        return convert_fields

    store = convert(stored, {name: form.store for name, form in forms.items()})
    return StoredForm(stored, store, convert(struct, {name: form.restore for name, form in forms.items()}))


def _converted(convert: Convert, value: Any) -> Any:
    try:
        return convert(value)
    except Exception as error:  # noqa: BLE001 (a project's own function raises what it likes)
        raise ValueError(f"{type(error).__name__} in a conversion of a cached value") from None


def _or_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _same(value: Any) -> Any:
    return value
