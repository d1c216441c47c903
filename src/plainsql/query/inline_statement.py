"""Statements that are in no file: ``db.sql("select …", type=Lead, since=day)``.

They are compiled as files are: ``:name`` parameters, optional lines, one statement. Nothing is proved about
them, so each value that comes back is checked against its type, and each call is taken for a write.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from copy import copy
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, get_origin, is_typeddict

import msgspec

from plainsql.dependencies import EVERYTHING
from plainsql.errors import BindError, ContractError, DecodeError
from plainsql.options import check
from plainsql.query.binding import Binder
from plainsql.query.compiled import (
    CompiledCount,
    CompiledMany,
    CompiledOne,
    CompiledOptional,
    CompiledQuery,
    QueryFacts,
)
from plainsql.query.description import Described
from plainsql.query.texts import QueryTexts
from plainsql.rows import Record
from plainsql.types import UNSET, Args

__all__ = ["bind_sql"]

MAX_COMPILED: Final = 512
"""The number of texts whose compilation is kept."""

_FACTS: Final = QueryFacts(changes=EVERYTHING)
_JSON_ARRAYS: Final = (199, 3807)
"""The numbers of the types ``json[]`` and ``jsonb[]``."""
_HINT: Final = "write a Struct, a dataclass, a TypedDict, a tuple, or the type of a single column"


def bind_sql(
    text: Any, item: Any, returns: Any, query_name: Any, parameters: Mapping[str, Any]
) -> tuple[CompiledQuery[Any, Any], Args]:
    """Return a statement as executors run it, and the arguments of a call.

    ``item`` is the type of a row or of a single value; ``None`` for the number of rows affected.

    Raises ``SqlFileError`` for a text that is no statement, ``OptionError`` for an option that cannot be,
    ``BindError`` for wrong parameters.
    """
    if not isinstance(text, str):
        raise BindError(f"sql(): expected a statement as text, got {type(text).__name__}")
    if returns != "many" or query_name is not None:
        check("sql", returns=returns, query_name=query_name)
    try:
        query = _compiled(text, item, returns, query_name)
    except BindError:  # which is a TypeError
        raise
    except TypeError:
        raise BindError(f"sql(): type: expected a type, got {type(item).__name__}", hint=_HINT) from None
    if item is not None:
        query = _for_one_call(query)
    return query, query.bind((), parameters)


def _for_one_call(query: CompiledQuery[Any, Any]) -> CompiledQuery[Any, Any]:
    """Return a statement that has the columns of one result.

    Several databases may return other columns for one text, and one database after its tables have changed.
    """
    own = copy(query)
    own.item = copy(query.item)
    return own


@lru_cache(MAX_COMPILED)
def _compiled(text: str, item: Any, returns: str, query_name: str | None) -> CompiledQuery[Any, Any]:
    from plainsql.statements import compile_body
    from plainsql.statements.copy_statement import CopyStatement
    from plainsql.statements.optional_lines import FLAG_VALUES
    from plainsql.statements.statement_kinds import check_kind

    try:
        encoded = text.encode()
    except UnicodeEncodeError as half:
        raise BindError(
            f"sql(): the text holds half of a surrogate pair, at character {half.start + 1}",
            hint="remove it: PostgreSQL's texts hold whole characters only",
        ) from None
    name = query_name if query_name is not None else f"sql_{blake2b(encoded, digest_size=4).hexdigest()}"
    compiled = compile_body(text, name=name, path=name)
    if (error := check_kind(compiled.source)) is not None:
        raise error
    if isinstance(compiled, CopyStatement):
        raise BindError(f"{name}: a copy takes rows, and sql() has none", hint="use db.copy_in")
    defaults: dict[str, object] = dict.fromkeys(compiled.optional, UNSET)
    defaults |= {choice: False for choice, values in compiled.choices.items() if values == FLAG_VALUES}
    names = [*compiled.parameters, *compiled.choices]
    texts = QueryTexts(name, name, 1, text)
    kind = CompiledCount if item is None else _KINDS[returns]
    return kind(texts, Binder(names, defaults, {}, None), None if item is None else _Item(item), _FACTS)


class _Item:
    """The type of a row or of a single value, and how it is made of a record."""

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self.fields = _fields_of(type_)
        """The columns that it expects; ``None`` for a tuple, a dict or a single value."""
        self.is_tuple = get_origin(type_) is tuple or type_ is tuple
        self.by_position = self.fields is not None and _is_by_position(type_)
        self.is_row = self.fields is not None or self.is_tuple or type_ is dict or get_origin(type_) is dict
        # Raises TypeError if msgspec has no such type.
        msgspec.json.Decoder(type_, dec_hook=_as_it_is)
        self.names: tuple[str, ...] = ()
        self.json: tuple[int, ...] = ()
        self.json_arrays: tuple[int, ...] = ()

    @property
    def shown(self) -> str:
        return getattr(self.type, "__name__", str(self.type))

    def describe(self, name: str, columns: Sequence[Described]) -> None:
        """Compare the columns of a result with the type. Raises ``ContractError``."""
        found = tuple(column.name for column in columns)
        if not found:
            raise BindError(f"{name} returns no columns", hint="leave out type= to get the number of rows")
        if not self.is_row and len(found) != 1:
            raise ContractError(
                f"{name}: expected one column for {self.shown}, got {', '.join(found)}", hint=_HINT
            )
        if len(set(found)) < len(found) and not self.is_tuple:
            twice = next(column for column in found if found.count(column) > 1)
            raise ContractError(f"{name}: two columns are called {twice!r}", hint="give one of them an alias")
        if self.fields is not None:
            missing = [field for field, required in self.fields.items() if required and field not in found]
            unknown = [column for column in found if column not in self.fields]
            if missing or unknown:
                raise ContractError(
                    f"{name}: the columns do not fit {self.shown}: "
                    f"expected {', '.join(self.fields)}, got {', '.join(found)}",
                    hint="name the columns as the fields: … as " + (missing or list(self.fields))[0],
                )
        self.names = found
        self.json = tuple(index for index, column in enumerate(columns) if column.is_json)
        self.json_arrays = tuple(index for index, column in enumerate(columns) if column.oid in _JSON_ARRAYS)

    def build(self, name: str, records: Sequence[Record]) -> list[Any]:
        """Make the rows. Raises ``DecodeError``, with the column, for a value of another type."""
        return [self._make(name, list(record)) for record in records]

    def _make(self, name: str, values: list[Any]) -> Any:
        for index in self.json:
            if isinstance(values[index], str | bytes):
                values[index] = msgspec.json.decode(values[index])
        for index in self.json_arrays:
            values[index] = _decoded(values[index])
        whole: Any = values[0]
        if self.is_tuple:
            whole = tuple(values)
        elif self.by_position:
            found = dict(zip(self.names, values, strict=True))
            whole = tuple(found[field] for field in self.fields or ())
        elif self.is_row:
            whole = dict(zip(self.names, values, strict=True))
        try:
            return msgspec.convert(whole, self.type, dec_hook=_as_it_is)
        except msgspec.ValidationError as error:
            raise DecodeError(
                f"{name}: a row is no {self.shown}: {error}" if self.is_row else f"{name}: {error}",
                hint="change the type, or cast the column",
            ) from None


class _Checked(CompiledQuery[Any, Any]):
    """A statement whose result is made by an `_Item`."""

    item: Any

    @property
    def needs_columns(self) -> bool:
        return not self.item.names

    def compare(self, columns: tuple[Described, ...]) -> None:
        self.set_columns(columns)

    def set_columns(self, columns: Sequence[Described]) -> None:
        self.item.describe(self.name, columns)

    def build(self, records: Sequence[Record]) -> list[Any]:
        return self.item.build(self.name, records)  # type: ignore[no-any-return]


class _CheckedOne(_Checked, CompiledOne[Any]):
    """A statement that returns exactly one row."""


class _CheckedOptional(_Checked, CompiledOptional[Any]):
    """A statement that returns a row or none."""


class _CheckedMany(_Checked, CompiledMany[Any]):
    """A statement that returns a list of rows."""


_KINDS: Final[dict[str, type[CompiledQuery[Any, Any]]]] = {
    "one": _CheckedOne,
    "optional": _CheckedOptional,
    "many": _CheckedMany,
}


def _decoded(value: Any) -> Any:
    """Decode the elements of an array of JSON."""
    if isinstance(value, list):
        return [_decoded(element) for element in value]
    return msgspec.json.decode(value) if isinstance(value, str | bytes) else value


def _is_by_position(type_: Any) -> bool:
    """Return whether msgspec makes a type with fields from a sequence of their values."""
    if issubclass(type_, msgspec.Struct):
        return bool(type_.__struct_config__.array_like)
    return issubclass(type_, tuple)


def _fields_of(type_: Any) -> dict[str, bool] | None:
    """Return the names of a type's fields, and whether each is required."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        by_position = _is_by_position(type_)
        return {field.encode_name: by_position or field.required for field in msgspec.structs.fields(type_)}
    if isinstance(type_, type) and issubclass(type_, tuple) and hasattr(type_, "_fields"):
        return dict.fromkeys(getattr(type_, "_fields"), True)  # noqa: B009 (a NamedTuple)
    if dataclasses.is_dataclass(type_):
        return {
            field.name: field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            for field in dataclasses.fields(type_)
        }
    if is_typeddict(type_):
        required: frozenset[str] = getattr(type_, "__required_keys__")  # noqa: B009
        return {key: key in required for key in type_.__annotations__}
    return None


def _as_it_is(type_: Any, value: Any) -> Any:
    """Accept a value of a type that msgspec does not know, such as a range or a vector."""
    if isinstance(value, get_origin(type_) or type_):
        return value
    raise NotImplementedError
