"""The Python side of PostgreSQL's types: the classes of values, and the marks of annotations.

==========================  =====================================================================
PostgreSQL                  Python
==========================  =====================================================================
boolean                     ``bool``
smallint … bigint, oid      ``int``
real, double precision      ``float``
numeric                     ``decimal.Decimal``
text, varchar, char, name   ``str`` (also citext, xml, money, tsvector: as PostgreSQL writes them)
bytea                       ``bytes``
uuid                        ``uuid.UUID``
date, time, timestamp       ``datetime.date``, ``.time``, ``.datetime``; with zone: aware
interval                    ``datetime.timedelta`` (a month counts 30 days, a year 365)
json, jsonb                 ``Json``: what msgspec decodes, or the type that the header names
enum                        a named ``typing.Literal`` of its labels, or a ``StrEnum``
domain                      its base type
composite                   a ``Composite`` struct
array                       ``list``, nested for more dimensions
range, multirange           ``Range``, ``list[Range]``
bit, varbit                 ``BitString``
inet, cidr                  ``ipaddress`` interfaces or addresses, networks
hstore                      ``Hstore``: ``dict[str, str | None]``
point, box, …               ``Point``, ``Box``, …
vector, halfvec, sparsevec  ``plainsql.vector``'s ``Vector``, ``HalfVector``, ``SparseVector``
==========================  =====================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from asyncpg import BitString, Box, Circle, Line, LineSegment, Path, Point, Polygon, Range

__all__ = [
    "BUILT_JSON",
    "JSON",
    "UNSET",
    "Args",
    "BitString",
    "Box",
    "Circle",
    "Converted",
    "Hstore",
    "Json",
    "Line",
    "LineSegment",
    "Opaque",
    "Path",
    "Point",
    "Polygon",
    "Range",
    "RecordMark",
    "RowMark",
    "SupportsArray",
    "UnsetType",
]

_OF_ASYNCPG: Final = frozenset(
    {"BitString", "Box", "Circle", "Line", "LineSegment", "Path", "Point", "Polygon", "Range"}
)


def __getattr__(name: str) -> object:
    # The value types are asyncpg's own, so that the driver builds them without a copy. The driver is imported
    # only when one is needed.
    if name in _OF_ASYNCPG:
        import asyncpg

        value: Any = getattr(asyncpg, name)
        if name == "Range" and not hasattr(value, "__class_getitem__"):  # before asyncpg 0.30
            value.__class_getitem__ = classmethod(GenericAlias)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


Args = tuple[object, ...]
"""A query's arguments in the order of its parameters, then of its choices."""


class JsonMark:
    """The mark of an annotation whose value travels as JSON: ``Annotated[Payload, JSON]``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "JSON"


class BuiltJsonMark(JsonMark):
    """The mark of JSON that a query builds: PostgreSQL writes its values, infinities among them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "BUILT_JSON"


class RecordMark:
    """The mark of an anonymous ``row(…)``: the types of its fields, which its text does not have."""

    __slots__ = ("types",)

    def __init__(self, *types: str) -> None:
        self.types = types
        """The catalog's names: ``int4``, ``text``."""

    def __repr__(self) -> str:
        return f"RecordMark({', '.join(map(repr, self.types))})"


JSON: Final = JsonMark()
BUILT_JSON: Final = BuiltJsonMark()

Json = Annotated[Any, JSON]
"""Any JSON value: ``None``, ``bool``, ``int``, ``float``, ``str``, ``list`` or ``dict``."""

Hstore = dict[str, str | None]
"""A value of hstore: texts by their keys, with ``None`` for null."""


class Converted:
    """The mark of an annotation whose values functions of the project convert, one by one and never null:
    ``Annotated[Money, Converted(load, dump, Decimal)]``.
    """

    __slots__ = ("base", "from_db", "to_db")

    def __init__(
        self, from_db: Callable[[Any], Any], to_db: Callable[[Any], Any] | None, base: Any = object
    ) -> None:
        self.from_db = from_db
        """Makes the value of one that arrived, which has the type ``base``."""
        self.to_db = to_db
        """Makes the value to send; ``None`` if values are sent as they are."""
        self.base = base

    def __repr__(self) -> str:
        names = ", ".join(getattr(each, "__qualname__", repr(each)) for each in (self.from_db, self.to_db))
        return f"Converted({names})"


class RowMark(ABC):
    """The mark of an annotation whose value is read together with other fields of its row."""

    __slots__ = ("names",)

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        """The other fields."""

    @abstractmethod
    def read(self, value: Any, others: Sequence[object]) -> Any:
        """Turn a value that arrived, which is not null, into the field's. ``others`` are as they arrived."""


class _SupportsNumPy(Protocol):
    def __array__(self) -> Any: ...


class _SupportsDLPack(Protocol):
    def __dlpack__(self) -> Any: ...


class _SupportsToNumPy(Protocol):
    def to_numpy(self) -> Any: ...


class _SupportsCoo(Protocol):
    def tocoo(self) -> Any: ...


SupportsArray = _SupportsNumPy | _SupportsDLPack | _SupportsToNumPy | _SupportsCoo
"""An array of any library: NumPy's own, tensors, series, SciPy's sparse arrays, all that NumPy can read
through ``__array__`` or DLPack. NumPy itself is not imported for the type.
"""


class Opaque:
    """One array element that must not be taken for a nested array: a JSON list, a vector given as floats."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value
