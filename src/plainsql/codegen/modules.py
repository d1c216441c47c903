"""The plan of the generated modules: the classes and functions of each one, and their order.

A folder of SQL files is a module. Queries of one folder that name the same row share one class, so its
columns must be the same in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from keyword import iskeyword
from pathlib import Path

from plainsql.analysis.effects.cache_dependencies import cached_read, changes_of_variants
from plainsql.analysis.merge import merge_column, merge_parameters, merge_variants
from plainsql.analysis.model import Analysis, ColumnFact, ParameterFact, PgType, SettingFact, Shape
from plainsql.codegen.annotations import annotate_column, annotate_value, column_description
from plainsql.codegen.classes import Classes, Field, nested_class, row_class, row_key, side_by_side
from plainsql.codegen.codec_types import CodecTypes
from plainsql.codegen.encryption import ENCRYPTED_PARAMETER, ColumnBindings, check_encrypted
from plainsql.codegen.enums import EnumTypes
from plainsql.codegen.error_classes import ErrorClass, classes_by_constraint, error_classes
from plainsql.codegen.header_types import USUAL, own_type_of
from plainsql.codegen.json_types import JsonTypes
from plainsql.codegen.list_classes import add_lists, list_keys
from plainsql.codegen.own_types import NO_OWN_TYPES, OwnAnnotations, OwnTypes
from plainsql.codegen.page_orders import page_orders
from plainsql.codegen.planned_parameters import (
    PlannedParameter,
    plan_choices,
    plan_parameter,
    plan_settings,
)
from plainsql.codegen.planned_rows import plan_rows
from plainsql.codegen.project_types import NO_PROJECT_TYPES, ProjectTypes
from plainsql.codegen.python_types import Annotation, reference
from plainsql.codegen.source_definitions import SourceDefinitions
from plainsql.codegen.source_names import is_field_name, normalized
from plainsql.codegen.source_places import column_place, key_place, statement_place
from plainsql.dependencies import CachedRead, Change
from plainsql.errors import ContractError, Place
from plainsql.statements import Statement, Variant
from plainsql.statements.column_paths import has_lists
from plainsql.statements.page_text import PageOrder
from plainsql.statements.row_parameters import rows_of

_RETURNING_ACTIONS = ("insert", "update", "delete")

__all__ = ["Checked", "Module", "QueryFunction", "plan_modules"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A statement with the analyses of its variants, at least one."""

    statement: Statement
    variants: tuple[Analysis, ...]
    texts: tuple[Variant, ...] = ()
    """The variant of each analysis."""
    settings: tuple[SettingFact, ...] = ()
    """The facts about the statement's settings, in their order."""

    @property
    def analysis(self) -> Analysis:
        """Return the facts that hold for all variants together."""
        return merge_variants(self.variants)

    @property
    def parameters(self) -> dict[str, ParameterFact]:
        """Return the parameters of all variants by name: nullable if every variant that has it accepts
        null.
        """
        return merge_parameters(self.variants)


@dataclass(frozen=True, slots=True)
class QueryFunction:
    """A query of a module."""

    statement: Statement
    item: Annotation | None
    """The annotation of one row: a class of the module or a value's type; ``None`` for a count."""
    parameters: tuple[PlannedParameter, ...]
    """The parameters in the order of the SQL, then those of the choices."""
    analysis: Analysis
    read_only: bool
    """Proved of all its variants: it changes nothing, and nothing volatile is called."""
    session_clean: bool
    """Proved of all its variants: it leaves nothing behind in the session."""
    by_key: bool = False
    """Proved: a read by a unique key, whose concurrent calls may run as one statement."""
    row_security: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each table, the settings without which row-level security shows none of its rows."""
    not_null: tuple[str, ...] = ()
    """Columns that are never null only because the header says so."""
    cache: CachedRead | None = None
    changes: tuple[Change, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)
    """By constraint: the class of the error, as the header names it."""
    pages: tuple[PageOrder, ...] = ()
    """Proved: the orders of its pages."""
    list_keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The proved keys of its parents and of their lists of child rows; empty without lists."""


@dataclass(slots=True)
class Module:
    """A generated module."""

    name: str
    """The dotted name relative to the generated package: ``realty.leads``."""
    folder: str
    """The SQL folder it is made from, relative to the folder of all queries; empty for that folder itself."""
    own_types: OwnAnnotations
    """The types of the project that values have in place of the usual ones."""
    package: bool = False
    """True if it is a folder even without modules in it: its layer's ``types`` live there."""
    classes: Classes = field(default_factory=Classes)
    functions: list[QueryFunction] = field(default_factory=list)
    errors: list[ErrorClass] = field(default_factory=list)
    """The classes of errors that the headers name."""


def plan_modules(
    checked: Iterable[Checked],
    package: str,
    folder: Path | None = None,
    own_types: OwnTypes = NO_OWN_TYPES,
    *,
    enums: str = "literal",
    codecs: CodecTypes | None = None,
) -> tuple[list[Module], list[ContractError]]:
    """Plan the modules of a package, in the order of their names.

    ``package`` is the import name of the generated package, and ``folder`` its folder, in which the types of
    JSON columns are looked up. Without a folder, they are assumed to exist. ``enums`` is the setting of that
    name, and ``codecs`` are the types with codecs. Contradictions are returned, not raised: do not write a
    module with errors.
    """
    checked = list(checked)
    modules: dict[str, Module] = {}
    json_types = JsonTypes(package, folder)
    project_types = ProjectTypes(
        _enum_types(checked, package, enums, json_types), codecs or NO_PROJECT_TYPES.codecs
    )
    own = OwnAnnotations(own_types, SourceDefinitions(package, folder), project_types)
    errors: list[ContractError] = list(own.missing())
    column_bindings = ColumnBindings()
    for item in checked:
        statement = item.statement
        below = statement.module.replace(".", "/")
        module = modules.setdefault(statement.module, Module(statement.module or "queries", below, own))
        try:
            module.functions.append(_plan_function(item, module, json_types))
            column_bindings.check(statement, item.variants)
        except ContractError as error:
            errors.append(error)
    if "" in modules and "queries" in modules:
        top = modules[""].functions
        errors.append(
            ContractError(
                "the files at the top of the SQL folder and its folder queries make one module, queries",
                place=Place(top[0].statement.path) if top else None,
                hint="move the files into a folder, or rename that one",
            )
        )
    if project_types.enums:
        errors += _enums_twice(modules.values())
    for module in modules.values():
        errors += _import_twice(module, json_types)
        errors += [error for f in module.functions for error in json_types.missing(f.statement)]
        errors += _plan_errors(module)
        module.classes.choose_names(_own_names(module))
    imported = {name for module in modules.values() for name, _, _ in _imports(module)}
    for module in modules.values():
        module.package = f"{package}.{module.name}.types" in imported
    return [modules[name] for name in sorted(modules)], errors


def _enum_types(checked: Sequence[Checked], package: str, style: str, json_types: JsonTypes) -> EnumTypes:
    """Return the enums of all queries, and let headers name them."""
    variants = [analysis for item in checked for analysis in item.variants]
    types = [column.type for analysis in variants for column in analysis.columns]
    types += [parameter.type for analysis in variants for parameter in analysis.parameters]
    shapes = [column.shape for analysis in variants for column in analysis.columns]
    types += [type for shape in shapes for type in _types_in(shape)]
    named = [each for item in checked for each in json_types.named(item.statement)]
    module = EnumTypes(package, ()).module
    enums = EnumTypes(package, types, style, {name for _, _, source, name in named if source != module})
    json_types.define(module, enums.names)
    return enums


def _types_in(shape: Shape | None) -> Iterable[PgType]:
    """Yield the types of the values that JSON or a row of a query is built from."""
    if shape is None:
        return
    if shape.type is not None:
        yield shape.type
    for part in shape.parts:
        yield from _types_in(part)


def _enums_twice(modules: Iterable[Module]) -> Iterable[ContractError]:
    """Yield an error if the queries of a folder make the module that the enums are in."""
    for module in modules:
        if module.name == "enums" or module.name.startswith("enums."):
            yield ContractError(
                "the folder enums of the SQL folder and the enums of the database make one module, enums",
                place=Place(module.functions[0].statement.path) if module.functions else None,
                hint="rename that folder",
            )


def _plan_errors(module: Module) -> list[ContractError]:
    """Add the classes of errors to a module, and return the contradictions."""
    # Nested rows and composites are named after the errors.
    rows = [row for row in module.classes if row.key == row_key(row.name)]
    taken = {row.name: f"the row of {row.source.path}" for row in rows}
    taken |= {f.statement.function: f"the query {f.statement.name}" for f in module.functions}
    module.errors, errors = error_classes([(f.statement, f.analysis) for f in module.functions], taken)
    return errors


def _own_names(module: Module) -> Iterable[str]:
    yield from (error.name for error in module.errors)
    yield from (field.name for row in module.classes for field in row.fields)
    yield from (function.statement.function for function in module.functions)


def _imports(module: Module) -> Iterable[tuple[str, str, Statement | None]]:
    """Return the imports of a module's annotations: ``(module, name, the statement that needs it)``."""
    annotations = [(f.annotation, c.source) for c in module.classes for f in c.fields]
    for function in module.functions:
        annotations += [(planned.annotation, function.statement) for planned in function.parameters]
        if function.item is not None:
            annotations.append((function.item, function.statement))
    return [(*pair, source) for annotation, source in annotations for pair in sorted(annotation.imports)]


_HOME_OF_IMPORTS = {
    **dict.fromkeys(
        (
            *("Args", "bits", "bounded", "columns", "composite", "elements", "NullError", "parameter_types"),
            "tuples",
        ),
        "plainsql.query",
    ),
    **dict.fromkeys(("dumped", "dumped_bounds", "dumped_elements", "sending"), "plainsql.query"),
    **dict.fromkeys(("PageKey", "PageOrder"), "plainsql.query"),
    **dict.fromkeys(("NotRequired", "Protocol", "TYPE_CHECKING", "TypedDict"), "typing"),
    **dict.fromkeys(("copied", "count", "many", "one", "optional", "paged"), "plainsql.query"),
    **dict.fromkeys(("CachedRead", "Change", "Dependency"), "plainsql.dependencies"),
    **dict.fromkeys(("Composite", "JsonObject", "Row"), "plainsql.rows"),
    **dict.fromkeys(("encrypt", "encrypt_searchable", "search_digests"), "plainsql.crypto"),
    "warn_of_deprecated_query": "plainsql.deprecation",
}
"""The imports of modules in addition to types."""


def _import_twice(module: Module, json_types: JsonTypes) -> Iterable[ContractError]:
    """Yield an error for each type in a header that would hide another import of the same name."""
    named = {
        (function.statement.name, source, name): function.statement
        for function in module.functions
        for _, _, source, name in json_types.named(function.statement)
    }
    types = {(source, name) for _, source, name in named}
    known = dict(_HOME_OF_IMPORTS) | {
        n: source for source, n, _ in _imports(module) if (source, n) not in types
    }
    for query, source, name in sorted(named):
        if json_types.has(source, name) and known.setdefault(name, source) != source:
            yield _error(
                named[query, source, name],
                f"{name} is a type of {source} and of {known[name]}, and a module imports one of them",
                f"rename the {name} that the header names",
            )


def _plan_function(item: Checked, module: Module, json_types: JsonTypes) -> QueryFunction:
    statement, analysis = item.statement, item.analysis
    _check_shape(statement, analysis)
    check_encrypted(statement, item.variants)
    for other in item.variants[1:]:
        _check_same_columns(statement, item.variants[0], other)
    returned: Annotation | None = None
    if statement.returns.value:
        column = merge_column(item.variants, 0)
        returned = annotate_column(module.classes, statement, column, json_types, module.own_types)
        returned = returned.or_null() if column.nullable else returned
    elif statement.returns.row is not None:
        _add_row(module, statement.returns.row, item.variants, statement, json_types)
        returned = Annotation(reference(row_key(statement.returns.row)))
    parameters = _plan_parameters(item, module, json_types)
    row_security = dict(table for variant in item.variants for table in variant.settings)
    session_clean = all(variant.session_safe for variant in item.variants)
    read_only = session_clean and _is_stable_read(item.variants)
    by_key = (
        statement.autobatch
        and read_only
        and all(variant.by_key and not variant.lost_by_batching for variant in item.variants)
    )
    not_null = _claimed_not_null(item)
    if statement.replica is not None and not read_only:
        raise _not_on_replica(item)
    cache, changes = _cache(item), changes_of_variants(item.variants)
    return QueryFunction(
        statement,
        returned,
        parameters,
        analysis,
        read_only,
        session_clean,
        by_key,
        row_security,
        not_null,
        cache,
        changes,
        classes_by_constraint(statement, analysis),
        page_orders(statement, item.variants, item.texts),
        list_keys(analysis) if statement.returns.row is not None else {},
    )


def _claimed_not_null(item: Checked) -> tuple[str, ...]:
    """Return the columns that the header or the settings call not null.

    A void result is null, whatever the header says.
    """
    hints = {hint.name: hint.nullable for hint in item.statement.columns if hint.nullable is not None}
    claimed = {name for name, nullable in hints.items() if not nullable}
    # The columns of all variants have the same names and types.
    claimed |= {c.name for each in item.variants for c in each.columns if c.assumed and c.name not in hints}
    columns = item.analysis.columns
    elements = tuple(
        f"{normalized(hint.name)}[]" for hint in item.statement.columns if hint.elements is False
    )
    return (
        *(normalized(c.name) for c in columns if c.name in claimed and c.type.name != "void"),
        *elements,
    )


def _cache(item: Checked) -> CachedRead | None:
    statement = item.statement
    if statement.cache is None:
        return None
    because = next((variant.not_read_only for variant in item.variants if not variant.read_only), "")
    if because:
        raise _error(
            statement,
            f"its header caches it, and it is not proved to only read: {because}",
            "remove the cache line: writes invalidate cached reads without it",
            place=key_place(statement, "cache"),
        )
    return cached_read(statement.cache, item.variants)


def _not_on_replica(item: Checked) -> ContractError:
    """Return the error of a query that its header sends to a replica, and that is not proved to be a read."""
    for variant in item.variants:
        if not variant.read_only:
            because = variant.not_read_only
            break
    else:
        because = "it calls a volatile function, or leaves something behind in the session"
    return _error(
        item.statement,
        f"its header sends it to replicas, and it is not proved to only read: {because}",
        "remove the replica line: it runs on the primary",
        place=key_place(item.statement, "replica"),
    )


def _is_stable_read(variants: Sequence[Analysis]) -> bool:
    # A volatile function gives each call its own answer: such a read runs as a write does, once and alone.
    return all(variant.read_only and variant.volatility != "volatile" for variant in variants)


def _check_shape(statement: Statement, analysis: Analysis) -> None:
    returns, columns = statement.returns, analysis.columns
    # A call of a function that returns nothing has one column, of type void.
    if returns.kind == "count" and not all(column.type.name == "void" for column in columns):
        raise _error(
            statement,
            f"returns columns ({', '.join(column.name for column in columns)}), "
            "but its header says 'returns: count'",
            "drop the columns, or declare 'returns: many …'",
            place=key_place(statement, "returns"),
        )
    if returns.kind != "count" and not columns:
        raise _error(
            statement,
            f"returns no columns, but its header says 'returns: {returns}'",
            "declare 'returns: count', or add a 'returning' clause"
            if any(use.action in _RETURNING_ACTIONS for use in analysis.writes)
            else "declare 'returns: count'",
            place=key_place(statement, "returns"),
        )
    if returns.value and len(columns) != 1:
        raise _error(
            statement,
            f"returns {len(columns)} columns, but its header says 'returns: {returns}', which is one column",
            f"name a row instead: 'returns: {returns.kind} Thing'",
            place=key_place(statement, "returns"),
        )


def _check_same_columns(statement: Statement, first: Analysis, other: Analysis) -> None:
    if [(c.name, c.type.oid) for c in first.columns] != [(c.name, c.type.oid) for c in other.columns]:
        raise _error(
            statement,
            "its columns differ with the optional lines that are taken",
            "keep optional lines and choices out of the select list",
            detail=side_by_side(
                [(c.name, str(c.type)) for c in first.columns], [(c.name, str(c.type)) for c in other.columns]
            ),
        )


def _add_row(
    module: Module, name: str, variants: Sequence[Analysis], statement: Statement, json_types: JsonTypes
) -> None:
    def plain(row: str, variants: Sequence[Analysis], prefix: str = "") -> list[Field]:
        return _fields(module, row, variants, statement, json_types, prefix)

    if has_lists(column.name for column in variants[0].columns):
        fields = add_lists(module.classes, name, variants, statement, plain)
    else:
        fields = plain(name, variants)
    module.classes.add(row_class(name, fields, statement), statement)


def _fields(
    module: Module,
    name: str,
    variants: Sequence[Analysis],
    statement: Statement,
    json_types: JsonTypes,
    prefix: str = "",
) -> list[Field]:
    """Return the fields of columns that are not in lists; ``prefix`` is left out of their names."""
    fields: list[Field] = []
    groups: dict[str, list[int]] = {}
    previous = ""
    for number in range(1, len(variants[0].columns) + 1):
        column = merge_column(variants, number - 1)
        outer, dot, inner = column.name.removeprefix(prefix).partition(".")
        if not is_field_name(outer) or (dot and not is_field_name(inner)):
            raise _error(
                statement,
                f"column {number} is called {column.name!r}, which cannot be the name of a field",
                _alias_hint(statement, column, number, len(variants[0].columns)),
                place=column_place(statement, column),
            )
        outer = normalized(outer)
        if dot:
            if outer in groups and previous != outer:
                raise _error(
                    statement,
                    f"the columns of {outer!r} are not next to each other",
                    f'move "{column.name}" to the other columns of "{outer}"',
                    place=column_place(statement, column),
                )
            groups.setdefault(outer, []).append(number - 1)
            if previous != outer:
                fields.append(Field(outer, Annotation(reference(f"nested {name}.{outer}")), False))
        else:
            annotation = annotate_column(module.classes, statement, column, json_types, module.own_types)
            fields.append(Field(outer, annotation, column.nullable, column_description(statement, column)))
        previous = outer if dot else ""
    outers = [normalized(c.name.removeprefix(prefix).partition(".")[0]) for c in variants[0].columns]
    _refuse_duplicates(statement, [f.name for f in fields], outers, variants[0].columns)
    for outer, indexes in groups.items():
        parts = [[variant.columns[index] for index in indexes] for variant in variants]
        nullable = _add_nested(module, name, outer, parts, statement, json_types, prefix)
        fields = [replace(f, nullable=nullable) if f.name == outer else f for f in fields]
    return fields


def _alias_hint(statement: Statement, column: ColumnFact, number: int, count: int) -> str:
    """Return a hint for a column whose name cannot be a field's."""
    if column.name == "?column?":
        if count == 1:
            kind = statement.returns.kind
            return (
                f"declare 'returns: {'value' if kind == 'one' else f'{kind} value'}': it is the only column"
            )
        return "give it an alias: as total"
    if column.name.endswith("[]"):
        return f'name a field of the list\'s rows: as "{column.name}.id"'
    names = [re.sub(r"\W+", "_", part).strip("_") for part in column.name.split(".", 1)]
    names = [f"{name}_" if iskeyword(name) else name for name in names]
    if not all(map(is_field_name, names)):
        return f"give it an alias: as column_{number}"
    return (
        f"give it an alias: as {names[0]}" if len(names) == 1 else f'give it an alias: as "{".".join(names)}"'
    )


def _refuse_duplicates(
    statement: Statement, fields: list[str], names: list[str], columns: Sequence[ColumnFact]
) -> None:
    """Raise ``ContractError`` if two fields have one name; ``names`` are the fields that the columns make."""
    for twin in sorted({name for name in fields if fields.count(name) > 1}):
        last = [column for column, name in zip(columns, names, strict=True) if name == twin][-1]
        raise _error(
            statement,
            f"two columns are called {last.name!r}",
            "give one of them an alias",
            place=column_place(statement, last),
        )


def _add_nested(
    module: Module,
    row: str,
    outer: str,
    variants: list[list[ColumnFact]],
    statement: Statement,
    json_types: JsonTypes,
    prefix: str = "",
) -> bool:
    """Add the class of a nested row; return whether the nested row can be null.

    ``variants`` holds the nested row's columns as each variant has them: the columns that are null together
    differ between variants.
    """
    together = [_is_null_together(columns) for columns in variants]
    inner = []
    for index, column in enumerate(variants[0]):
        annotation = annotate_column(module.classes, statement, column, json_types, module.own_types)
        nullable = any(
            columns[index].nullable_in_group if grouped else columns[index].nullable
            for columns, grouped in zip(variants, together, strict=True)
        )
        field_name = normalized(column.name.removeprefix(prefix).partition(".")[2])
        inner.append(Field(field_name, annotation, nullable, column_description(statement, column)))
    names = [f.name for f in inner]
    _refuse_duplicates(statement, names, names, variants[0])
    module.classes.add(nested_class(row, outer, inner, statement), statement)
    return any(together)


def _is_null_together(columns: Sequence[ColumnFact]) -> bool:
    group = columns[0].nullable_group
    return group is not None and all(column.nullable_group == group for column in columns)


def _plan_parameters(item: Checked, module: Module, json_types: JsonTypes) -> tuple[PlannedParameter, ...]:
    statement = item.statement
    facts = item.parameters
    planned: list[PlannedParameter] = []
    rows = rows_of(facts)
    for parameter in statement.parameters:
        name, is_column, column = parameter.name.partition(".")
        if is_column:
            if column == rows[name][0]:
                types = module.own_types
                planned.append(
                    plan_rows(module.classes, statement, name, rows[name], facts, types, json_types)
                )
            continue
        fact = facts[parameter.name]
        annotation = ENCRYPTED_PARAMETER
        own = None
        if parameter.encryption is None:
            own = own_type_of(statement, parameter, fact, module.own_types, json_types)
            annotation = annotate_value(
                module.classes, statement, parameter, fact.type, module.own_types, own
            )
        # Keys are checked as well: nothing else looks at them if there is nothing to encrypt.
        each = plan_parameter(statement, parameter, fact, annotation, module.own_types.project_types.enums)
        if parameter.encryption is None:
            types = module.own_types.without_types if own == USUAL else module.own_types
            each = types.planned(each, fact.type, None if own == USUAL else own)
        planned.append(each)
    return (*planned, *plan_choices(statement), *plan_settings(statement, item.settings))


def _error(
    statement: Statement, message: str, hint: str, *, place: Place | None = None, detail: str | None = None
) -> ContractError:
    place = place or statement_place(statement)
    return ContractError(f"{statement.name}: {message}", place=place, detail=detail, hint=hint)
