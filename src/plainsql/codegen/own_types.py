"""Python types of the project for columns, domains and types of the database, in place of the usual ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from plainsql.analysis.model import ColumnFact, ColumnRef, Origin, ParameterFact, PgType
from plainsql.codegen.planned_parameters import PlannedParameter
from plainsql.codegen.project_types import NO_PROJECT_TYPES, ProjectTypes
from plainsql.codegen.python_types import Annotation, annotate, below_domains, import_reference
from plainsql.codegen.source_definitions import SourceDefinitions
from plainsql.errors import ContractError, Place

__all__ = [
    "BUILT_MARK",
    "NO_OWN_TYPES",
    "ChosenType",
    "OwnAnnotations",
    "OwnType",
    "OwnTypes",
    "contradiction",
]

_TYPES: Final = "plainsql.types"


@dataclass(frozen=True, slots=True)
class OwnType:
    """One Python type of the project, with the functions that convert its values."""

    path: str
    """Its import path: ``shop.types.CustomerId``."""
    from_db: str = ""
    """The path of the function that makes its values; empty if values are used as they arrive."""
    to_db: str = ""
    """The path of the function that makes the values to send; empty if they are sent as they are."""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class ChosenType:
    """The own type of a column or parameter, with the reason for it."""

    type: OwnType
    because: str
    """The key of the settings, or the header; with the column that leads to it."""


@dataclass(frozen=True)
class OwnTypes:
    """The own types of one project, by what they are for."""

    columns: Mapping[ColumnRef, OwnType] = field(default_factory=dict)
    names: Mapping[str, OwnType] = field(default_factory=dict)
    """By the name of a column, in whatever table: ``*.email``."""
    types: Mapping[tuple[str, str], OwnType] = field(default_factory=dict)
    """By the schema and name of a domain or type."""
    places: Mapping[OwnType, Place] = field(default_factory=dict)
    """The places in the settings."""
    referring: Mapping[ColumnRef, OwnType] = field(default_factory=dict)
    """The columns that foreign keys lead from to a column with an own type."""

    def __bool__(self) -> bool:
        return bool(self.columns or self.names or self.types)

    def named(self, path: str) -> OwnType:
        """Return the type with this path: with the functions of the settings, if they name it."""
        known = (*self.columns.values(), *self.names.values(), *self.types.values())
        return next((each for each in known if each.path == path), OwnType(path))

    def all(self) -> list[OwnType]:
        """Return the types of the settings, each once."""
        return list(dict.fromkeys((*self.columns.values(), *self.names.values(), *self.types.values())))

    def of_column(self, column: ColumnFact) -> ChosenType | None:
        """Return the own type of a result column: only if all of its sources have the same one."""
        return self.of_origins(column.origins)

    def of_origins(self, origins: Iterable[Origin]) -> ChosenType | None:
        """Return the own type of a value: only if all of its sources have the same one."""
        return self._same([self._of_origin(origin) for origin in origins])

    def of_parameter(self, parameter: ParameterFact) -> list[ChosenType]:
        """Return the different own types of the columns that a parameter is compared with or stored in."""
        found: dict[OwnType, ChosenType] = {}
        for origin in parameter.origins:
            if (chosen := self._of_origin(origin)) is not None:
                found.setdefault(chosen.type, chosen)
        return list(found.values())

    def of_type(self, type: PgType) -> ChosenType | None:
        """Return the own type of a domain or type itself."""
        own = self.types.get((type.schema, type.name))
        return ChosenType(own, f"the type {type}") if own is not None else None

    def of_attribute(self, schema: str, name: str, attribute: str) -> ChosenType | None:
        """Return the own type of an attribute of a composite type, or of the column of a table's row."""
        column = ColumnRef(schema, name, attribute)
        if (found := self._of_columns([column])) is not None or column not in self.referring:
            return found
        return ChosenType(self.referring[column], "a foreign key")

    def _same(self, found: list[ChosenType | None]) -> ChosenType | None:
        first = found[0] if found else None
        if first is None or any(each is None or each.type != first.type for each in found):
            return None
        return first

    def _of_origin(self, origin: Origin) -> ChosenType | None:
        if (found := self._of_columns(origin.columns)) is not None:
            return found
        referred = {self.columns[column]: column for column in origin.references if column in self.columns}
        if len(referred) == 1:
            ((own, column),) = referred.items()
            return ChosenType(own, f"a foreign key to {column}")
        for domain in origin.domains:
            schema, _, name = domain.partition(".")
            if (schema, name) in self.types:
                return ChosenType(self.types[schema, name], f"the domain {domain}")
        return None

    def _of_columns(self, columns: Iterable[ColumnRef]) -> ChosenType | None:
        for column in columns:
            if column in self.columns:
                return ChosenType(self.columns[column], f"the column {column}")
        for column in columns:
            if column.column in self.names:
                return ChosenType(self.names[column.column], f"the column {column}, by *.{column.column}")
        return None


NO_OWN_TYPES: Final = OwnTypes()


class OwnAnnotations:
    """The annotations of values with own types."""

    def __init__(
        self, own: OwnTypes, definitions: SourceDefinitions, project_types: ProjectTypes = NO_PROJECT_TYPES
    ) -> None:
        self.types = own
        self.project_types = project_types
        """The enums and the types with codecs."""
        self._definitions = definitions

    @property
    def without_types(self) -> OwnAnnotations:
        """Return the same without any own type."""
        return OwnAnnotations(NO_OWN_TYPES, self._definitions, self.project_types)

    def usual(self, type: PgType) -> Annotation:
        """Return the annotation of a type without its own type, if it has one.

        Raises ``LookupError`` as ``python_types.annotate`` does.
        """
        return annotate(type, self.project_types.annotation)

    def annotate(self, type: PgType, *, parameter: bool = False) -> Annotation:
        """Return the annotation of a type, with the own types of all types in it.

        Raises ``LookupError`` as ``python_types.annotate`` does.
        """
        return annotate(type, lambda part: self._of_type(part, parameter))

    def _of_type(self, type: PgType, parameter: bool) -> Annotation | None:
        chosen = self.types.of_type(type)
        if chosen is None:
            return self.project_types.annotation(type)
        return self.at_leaf(type, chosen.type, parameter)

    def at_leaf(self, type: PgType, own: OwnType, parameter: bool = False) -> Annotation:
        """Return the annotation of a type whose values, or the elements of its arrays, have an own type."""
        if type.kind in ("array", "domain") and type.element is not None:
            inner = self.at_leaf(type.element, own, parameter)
            return inner.wrapped("list[{}]") if type.kind == "array" else inner
        name, base = import_reference(own.path), self.usual(type)
        if not own.from_db:
            if type.name in ("json", "jsonb") and not parameter:
                return Annotation(name).wrapped("Annotated[{}, JSON]", *_JSON_IMPORTS)
            return Annotation(name)
        return Annotation(name) if parameter else self._converted(own, base)

    def _converted(self, own: OwnType, base: Annotation) -> Annotation:
        """Return the annotation of values that functions of the project make of those of a base."""
        name, load = import_reference(own.path), import_reference(own.from_db)
        dump = import_reference(own.to_db) if own.to_db else "None"
        text = f"Annotated[{name}, Converted({load}, {dump}, {base.text})]"
        imports = base.imports | {("typing", "Annotated"), (_TYPES, "Converted")}
        return Annotation(text, imports, base.composites)

    def in_json(self, type: PgType, origins: Iterable[Origin]) -> Annotation | None:
        """Return the annotation of a value in JSON that is the same as outside of it, if it has an own type;
        ``None`` for any other value.
        """
        own = self._own_in_json(type, origins)
        if own is None:
            return None
        if own.from_db:
            return self.at_leaf(type, own)
        is_known = self._definitions.of(own.path).kind == "newtype"
        return Annotation(import_reference(own.path)) if is_known else None

    def document(self, type: PgType, origins: Iterable[Origin]) -> Annotation | None:
        """Return the annotation of a JSON document that is one value, if a function makes it."""
        own = self._own_in_json(type, origins)
        if own is None or not own.from_db:
            return None
        return self._converted(own, self.usual(type).wrapped(*BUILT_MARK))

    def _own_in_json(self, type: PgType, origins: Iterable[Origin]) -> OwnType | None:
        chosen = self.types.of_origins(origins) or self.types.of_type(type)
        own = chosen.type if chosen is not None else None
        return None if own is None or self.problem(own, type) is not None else own

    def used_in(self, type: PgType) -> Iterator[tuple[PgType, OwnType]]:
        """Yield the types in a type, without attributes of composites, that have an own type themselves."""
        if (chosen := self.types.of_type(type)) is not None:
            yield type, chosen.type
        elif type.element is not None:
            yield from self.used_in(type.element)

    def conversion(self, type: PgType, own: OwnType | None) -> tuple[str, str]:
        """Return the function of ``plainsql.query`` that sends a parameter of a type, and a reference to the
        project's function that it calls; both are empty if there is nothing to convert.
        """
        kind, part = "dumped", type
        while own is None and (chosen := self.types.of_type(part)) is None and part.element is not None:
            kind = _SENDING.get(part.kind, kind)
            part = part.element
        if own is None:
            chosen = self.types.of_type(part)
            own = chosen.type if chosen is not None else None
        while part.kind in ("array", "domain") and part.element is not None:
            kind = _SENDING.get(part.kind, kind)
            part = part.element
        return (kind, import_reference(own.to_db)) if own is not None and own.to_db else ("", "")

    def missing(self) -> Iterator[ContractError]:
        """Yield an error for each name in the settings that no module defines."""
        for own in self.types.all():
            for path in filter(None, (own.path, own.from_db, own.to_db)):
                if (missing := self._missing(path)) is not None:
                    message, hint = missing
                    yield ContractError(
                        f"[tool.plainsql.types]: {path}: {message}",
                        place=self.types.places.get(own),
                        hint=hint,
                    )

    def _missing(self, path: str) -> tuple[str, str] | None:
        """Return the problem with a path and its remedy; ``None`` if there is none, or if it is not known."""
        kind = self._definitions.of(path).kind
        module, _, name = path.rpartition(".")
        if kind == "no module":
            return f"there is no module {module}", f"define {name} in {module.replace('.', '/')}.py"
        if kind == "missing":
            return f"{module} does not define {name}", f"define {name} there, or correct the name"
        return None

    def problem(self, own: OwnType, type: PgType) -> tuple[str, str] | None:
        """Return why values of a type cannot have an own type, and what to do; ``None`` if they can."""
        leaf = type
        while leaf.kind in ("array", "domain") and leaf.element is not None:
            leaf = leaf.element
        if own not in self.types.all() and (missing := self._missing(own.path)) is not None:
            return missing
        definition = self._definitions.of(own.path)
        if own.from_db or leaf.name in ("json", "jsonb"):
            return None
        if leaf.kind == "composite":
            return f"{leaf} is a composite type, and {own.name} is made by no function", _CONVERT
        if definition.kind == "class":
            return (
                f"{own.name} is a class, and its values would not be made: {leaf} arrives as {_bare(leaf)}",
                f"{_CONVERT}, or make it a NewType",
            )
        if definition.kind == "newtype" and not _is_base(definition.base, leaf):
            return (
                f"{own.name} is a NewType of {definition.base}, and {leaf} is {_bare(leaf)} in Python",
                f"name another column, or convert it: {_CONVERT}",
            )
        return None

    def planned(self, parameter: PlannedParameter, type: PgType, own: OwnType | None) -> PlannedParameter:
        """Return a planned parameter of a type with its conversion, and with a default of its own type."""
        convert, to_db = self.conversion(type, own)
        default = parameter.default
        if own is not None and default not in ("", "None", "UNSET"):
            if own.from_db:
                default = f"{import_reference(own.from_db)}({default})"
            elif self._definitions.of(own.path).kind == "newtype":
                default = f"{import_reference(own.path)}({default})"
        return replace(parameter, convert=convert, to_db=to_db, default=default)


_SENDING: Final = {"array": "dumped_elements", "range": "dumped_bounds", "multirange": "dumped_bounds"}
_JSON_IMPORTS: Final = (("typing", "Annotated"), (_TYPES, "JSON"))
BUILT_MARK: Final = ("Annotated[{}, BUILT_JSON]", ("typing", "Annotated"), (_TYPES, "BUILT_JSON"))
"""The mark of JSON that a query builds, with its imports."""
_CONVERT: Final = "write { type = …, from_db = …, to_db = … }"
_ANY_BASES: Final = frozenset({"", "Any", "object"})


def _bare(type: PgType) -> str:
    try:
        return annotate(type).text
    except LookupError:
        return "of no type that plainsql knows"


def _is_base(written: str, type: PgType) -> bool:
    """Return whether the base of a ``NewType`` may be the Python type of a type of the database."""
    base = written.strip("'\"").rpartition(".")[2]
    usual = _bare(below_domains(type))
    if base in _ANY_BASES or usual.startswith("of no type") or not base.isidentifier():
        return True
    if base in ("int", "float", "str", "bool", "bytes", *_SIMPLE):
        return base == usual or (base == "str" and type.kind == "enum")
    return True


_SIMPLE: Final[Collection[str]] = ("Decimal", "UUID", "date", "datetime", "time", "timedelta")


def contradiction(name: str, found: list[ChosenType], place: Place, statement: str) -> ContractError:
    """Return the error about a parameter with several own types."""
    listed = " and ".join(f"{each.type.path} by {each.because}" for each in found)
    return ContractError(
        f"{statement}: {name} has several types: {listed}",
        place=place,
        hint=f"say in the header which one is meant: param {name.lstrip(':')}: {found[0].type.path}",
    )
