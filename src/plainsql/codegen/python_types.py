"""The annotations of PostgreSQL's types in generated code."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from plainsql.analysis.model import PgType
from plainsql.codegen.source_names import string_literal

__all__ = [
    "IMPORTED_NAMES",
    "Annotation",
    "OwnAnnotation",
    "annotate",
    "annotate_parameter",
    "below_domains",
    "import_reference",
    "imported_path",
    "imported_paths",
    "reference",
]


def reference(key: str) -> str:
    """Return a reference to a class of the module, whose name is chosen when all classes are known."""
    return f"«{key}»"


_IMPORT: Final = "import "
_IMPORTED: Final = re.compile(f"«{_IMPORT}([^»]*)»")


def import_reference(path: str) -> str:
    """Return a reference to ``package.module.Name`` of the project; the module chooses a free name."""
    return reference(f"{_IMPORT}{path}")


def imported_path(key: str) -> str | None:
    """Return the path that the key of a reference has; ``None`` for the key of a class."""
    return key.removeprefix(_IMPORT) if key.startswith(_IMPORT) else None


def imported_paths(text: str) -> list[str]:
    """Return the paths of all references to names of the project in a source text."""
    return _IMPORTED.findall(text)


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation as source text, with its imports and classes."""

    text: str
    """The source; it names classes of the module as ``reference`` writes them."""
    imports: frozenset[tuple[str, str]] = frozenset()
    """``(module, name)`` pairs: ``from module import name``; an empty name means ``import module``."""
    composites: tuple[PgType, ...] = ()
    """The composite types that it names; each needs a class in the module."""

    def or_null(self) -> Annotation:
        if self.text == "None":  # the result of a function that returns nothing
            return self
        return Annotation(f"{self.text} | None", self.imports, self.composites)

    def wrapped(self, outer: str, *imports: tuple[str, str]) -> Annotation:
        """Return ``outer`` with this annotation in the place of ``{}``."""
        return Annotation(outer.format(self.text), self.imports | frozenset(imports), self.composites)


OwnAnnotation = Callable[[PgType], Annotation | None]
"""Returns the annotation that the project has for a type; ``None`` if it has none of its own."""


_DATETIME: Final = "datetime"
_TYPES: Final = "plainsql.types"
_VECTOR: Final = "plainsql.vector"

_BASE_TYPES: Final[dict[str, tuple[str, str]]] = {
    # The name in the catalog → (the name in Python, its module; empty for a builtin)
    "bool": ("bool", ""),
    "int2": ("int", ""),
    "int4": ("int", ""),
    "int8": ("int", ""),
    "oid": ("int", ""),
    "xid": ("int", ""),
    "xid8": ("int", ""),
    "cid": ("int", ""),
    "pg_lsn": ("int", ""),
    "float4": ("float", ""),
    "float8": ("float", ""),
    "numeric": ("Decimal", "decimal"),
    "bytea": ("bytes", ""),
    "char": ("bytes", ""),  # the catalogs' "char" in quotes: one byte
    "uuid": ("UUID", "uuid"),
    "date": ("date", _DATETIME),
    "time": ("time", _DATETIME),
    "timetz": ("time", _DATETIME),
    "timestamp": ("datetime", _DATETIME),
    "timestamptz": ("datetime", _DATETIME),
    "interval": ("timedelta", _DATETIME),
    "json": ("Json", _TYPES),
    "jsonb": ("Json", _TYPES),
    "bit": ("BitString", _TYPES),
    "varbit": ("BitString", _TYPES),
    "point": ("Point", _TYPES),
    "box": ("Box", _TYPES),
    "circle": ("Circle", _TYPES),
    "line": ("Line", _TYPES),
    "lseg": ("LineSegment", _TYPES),
    "path": ("Path", _TYPES),
    "polygon": ("Polygon", _TYPES),
    "hstore": ("Hstore", _TYPES),
    "vector": ("Vector", _VECTOR),
    "halfvec": ("HalfVector", _VECTOR),
    "sparsevec": ("SparseVector", _VECTOR),
    "void": ("None", ""),
}

_TEXT_TYPES: Final = frozenset(
    [
        "text",
        "varchar",
        "bpchar",
        "name",
        "citext",
        "xml",
        "money",
        "unknown",
        "cstring",
        "tsvector",
        "tsquery",
        "jsonpath",
        "macaddr",
        "macaddr8",
        "ltree",
        "regclass",
        "regcollation",
        "regconfig",
        "regdictionary",
        "regnamespace",
        "regoper",
        "regoperator",
        "regproc",
        "regprocedure",
        "regrole",
        "regtype",
    ]
)
_ADDRESS: Final = Annotation(
    "IPv4Address | IPv6Address", frozenset({("ipaddress", "IPv4Address"), ("ipaddress", "IPv6Address")})
)
_NETWORK: Final = Annotation(
    "IPv4Network | IPv6Network", frozenset({("ipaddress", "IPv4Network"), ("ipaddress", "IPv6Network")})
)
_SNAPSHOT_TYPES: Final = frozenset({"txid_snapshot", "pg_snapshot"})


IMPORTED_NAMES: Final = frozenset(
    [
        *(name for name, module in _BASE_TYPES.values() if module),
        *("Annotated", "Any", "Args", "CachedRead", "Change", "Composite", "Dependency", "Literal"),
        *("IPv4Address", "IPv4Network", "IPv6Address", "IPv6Network", "JSON", "NullError", "Range", "Row"),
        *("Sequence", "SupportsArray", "UNSET", "UnsetType"),
    ]
)
"""The names that generated modules import from other modules."""


def annotate(type: PgType, own: OwnAnnotation | None = None) -> Annotation:
    """Return the annotation of a value that is not null; ``own`` has those of some types itself.

    Raises ``LookupError`` with the type as its argument if plainsql has no Python type for it.
    """
    if own is not None and (found := own(type)) is not None:
        return found
    match type.kind:
        case "array" if type.element:
            return annotate(type.element, own).wrapped("list[{}]")
        case "domain" if type.element:
            return annotate(type.element, own)
        case "enum":
            if not type.labels:
                return Annotation("str")
            labels = ", ".join(map(string_literal, type.labels))
            return Annotation(f"Literal[{labels}]", frozenset({("typing", "Literal")}))
        case "composite":
            return Annotation(reference(f"type {type.oid}"), composites=(type,))
        case "range" if type.element:
            return annotate(type.element, own).wrapped("Range[{}]", (_TYPES, "Range"))
        case "multirange" if type.element:
            element = type.element.element if type.element.kind == "range" else type.element
            if element is not None:
                return annotate(element, own).wrapped("list[Range[{}]]", (_TYPES, "Range"))
        case _:
            pass
    if type.name in _BASE_TYPES:
        name, module = _BASE_TYPES[type.name]
        return Annotation(name, frozenset({(module, name)}) if module else frozenset())
    if type.name in _TEXT_TYPES:
        return Annotation("str")
    if type.name == "inet":
        return _ADDRESS
    if type.name == "cidr":
        return _NETWORK
    if type.name == "tid":
        return Annotation("tuple[int, int]")
    if type.name in _SNAPSHOT_TYPES:
        return Annotation("tuple[int, int, tuple[int, ...]]")
    raise LookupError(type)


def annotate_parameter(type: PgType, own: OwnAnnotation | None = None) -> Annotation:
    """Return the annotation of a parameter, which may accept more types than a result has."""
    base = below_domains(type)
    if base.name in ("vector", "halfvec", "sparsevec"):
        kind = {"vector": "Vector", "halfvec": "HalfVector", "sparsevec": "SparseVector"}[base.name]
        return Annotation(
            f"{kind} | Sequence[float] | SupportsArray",
            frozenset({(_VECTOR, kind), ("collections.abc", "Sequence"), (_TYPES, "SupportsArray")}),
        )
    if base.name in ("bit", "varbit"):
        return Annotation(
            "BitString | Sequence[bool] | str | bytes | SupportsArray",
            frozenset({(_TYPES, "BitString"), ("collections.abc", "Sequence"), (_TYPES, "SupportsArray")}),
        )
    return annotate(type, own)


def below_domains(type: PgType) -> PgType:
    """Return the type below all domains; any other type unchanged."""
    while type.kind == "domain" and type.element is not None:
        type = type.element
    return type
