"""Statements and their analyses → modules: which classes and functions each one holds, and in which order.

A folder of SQL files is a module. Queries of one folder that name the same row share one class, so its
columns must be the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from plainsql.analysis.dependences import cached_read, changes_of_all
from plainsql.analysis.merged import merged, merged_parameters, widest_column
from plainsql.analysis.model import Analysis, ColumnFact, ParameterFact, PgType
from plainsql.codegen.encryption import PARAMETER, SameKeys, annotate_encrypted, check_encrypted
from plainsql.codegen.naming import class_name, is_field_name, string_literal
from plainsql.codegen.python_types import Annotation, annotate, annotate_parameter
from plainsql.errors import ContractError, Place
from plainsql.reach import CachedRead, Change
from plainsql.statements import Bounds, Statement, Variant

__all__ = ["Checked", "Field", "Function", "Module", "RowClass", "plan_modules"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A statement with the analyses of its variants, at least one."""

    statement: Statement
    variants: tuple[Analysis, ...]
    texts: tuple[Variant, ...] = ()
    """The variant of each analysis."""

    @property
    def analysis(self) -> Analysis:
        """What holds for all variants together."""
        return merged(self.variants)

    @property
    def parameters(self) -> dict[str, ParameterFact]:
        """By name, of all variants together: null where all that have it take null."""
        return merged_parameters(self.variants)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a class to generate."""

    name: str
    annotation: Annotation
    nullable: bool


@dataclass(slots=True)
class RowClass:
    """A class to generate: a row, a nested row or a composite."""

    name: str
    fields: list[Field]
    base: str
    described: str
    """What its docstring says."""
    source: Statement | None = None
    """The statement that first asked for it, for messages."""


@dataclass(frozen=True, slots=True)
class Function:
    """A query of a module."""

    statement: Statement
    item: Annotation | None
    """What one row is: a class of the module or a value's type; None for a count."""
    parameters: tuple[tuple[str, Annotation, str], ...]
    """``(name, annotation, default as source or empty)``, in the order of the SQL, then of the choices."""
    wraps: dict[str, str]
    """By parameter: the function of ``plainsql.query`` that its value passes through."""
    analysis: Analysis
    effect: str
    """What is proved of all its variants: ``plainsql.query.Effect``."""
    joins: bool = True
    """Whether concurrent calls may run as one statement, where it only reads."""
    row_security: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By table: settings without which row-level security lets nothing of it through."""
    cache: CachedRead | None = None
    changes: tuple[Change, ...] = ()


@dataclass(slots=True)
class Module:
    """A generated module."""

    name: str
    """Dotted, relative to the generated package: ``realty.leads``."""
    folder: str
    """The SQL folder it is made from, relative to the folder of all queries; empty for that itself."""
    package: bool = False
    """Whether it is a folder even without modules in it: its layer's ``types`` stand there."""
    classes: dict[str, RowClass] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)


def plan_modules(checked: Iterable[Checked], package: str) -> tuple[list[Module], list[ContractError]]:
    """Plan the modules of a package, in the order of their names.

    ``package`` is the import name of the generated package: types of JSON columns are looked up from there.
    All that contradicts is returned, not raised: a module with errors is not to be written.
    """
    modules: dict[str, Module] = {}
    errors: list[ContractError] = []
    same_keys = SameKeys()
    for item in checked:
        statement = item.statement
        folder = statement.module.replace(".", "/")
        module = modules.setdefault(statement.module, Module(statement.module or "queries", folder))
        try:
            module.functions.append(_plan_function(item, module, package))
            same_keys.check(statement, item.variants)
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
    for module in modules.values():
        errors += _import_twice(module)
    imported = {name for module in modules.values() for name, _, _ in _imports(module)}
    for module in modules.values():
        module.package = f"{package}.{module.name}.types" in imported
    return [modules[name] for name in sorted(modules)], errors


def _imports(module: Module) -> Iterable[tuple[str, str, Statement | None]]:
    """What a module's annotations import: ``(module, name, the statement that asks for it)``."""
    annotations = [(f.annotation, c.source) for c in module.classes.values() for f in c.fields]
    for function in module.functions:
        annotations += [(annotation, function.statement) for _, annotation, _ in function.parameters]
        if function.item is not None:
            annotations.append((function.item, function.statement))
    return [(*pair, source) for annotation, source in annotations for pair in sorted(annotation.imports)]


def _import_twice(module: Module) -> Iterable[ContractError]:
    """Types of one name from two modules, of which one would hide the other."""
    known = {"Args": "plainsql.query", "Composite": "plainsql.rows", "Row": "plainsql.rows"}
    for source, name, statement in _imports(module):
        if known.setdefault(name, source) != source and statement is not None:
            yield _error(
                statement,
                f"{name} is a type of {source} and of {known[name]}, and a module imports one of them",
                f"rename the {name} that the header names",
            )


def _plan_function(item: Checked, module: Module, package: str) -> Function:
    statement, analysis = item.statement, item.analysis
    _check_shape(statement, analysis)
    check_encrypted(statement, item.variants)
    for other in item.variants[1:]:
        _check_same_columns(statement, item.variants[0], other)
    returned: Annotation | None = None
    if statement.returns.value:
        returned = _annotate_column(statement, widest_column(item.variants, 0), package, nested=False)
        _add_composites(module, returned, statement)
        returned = returned.or_null() if widest_column(item.variants, 0).nullable else returned
    elif statement.returns.row is not None:
        _add_row(module, statement.returns.row, item.variants, statement, package)
        returned = Annotation(statement.returns.row)
    parameters, wraps = _plan_parameters(item, module)
    row_security = dict(table for variant in item.variants for table in variant.settings)
    joins = statement.join and not any(variant.lost_by_joining for variant in item.variants)
    effect = _effect(item.variants)
    cache, changes = _cache(item), changes_of_all(item.variants)
    return Function(
        statement, returned, parameters, wraps, analysis, effect, joins, row_security, cache, changes
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
            "remove the cache line: what a statement writes invalidates cached reads without it",
        )
    return cached_read(statement.cache, item.variants)


def _effect(variants: Sequence[Analysis]) -> str:
    if not all(variant.session_safe for variant in variants):
        return "unknown"
    # A read with a volatile function in it gives each call its own answer: it is run as a write is, once and
    # alone.
    stable = all(variant.read_only and variant.volatility != "volatile" for variant in variants)
    return "reads" if stable else "writes"


def _check_shape(statement: Statement, analysis: Analysis) -> None:
    returns, columns = statement.returns, analysis.columns
    if returns.kind == "count" and columns:
        raise _error(
            statement,
            f"returns columns ({', '.join(column.name for column in columns)}), "
            "but its header says 'returns: count'",
            "drop the columns, or declare 'returns: many …'",
        )
    if returns.kind != "count" and not columns:
        raise _error(
            statement,
            f"returns no columns, but its header says 'returns: {returns}'",
            "declare 'returns: count', or add a 'returning' clause",
        )
    if returns.value and len(columns) != 1:
        raise _error(
            statement,
            f"returns {len(columns)} columns, but its header says 'returns: {returns}', which is one column",
            "name a row instead: 'returns: many Thing'",
        )


def _check_same_columns(statement: Statement, first: Analysis, other: Analysis) -> None:
    if [(c.name, c.type.oid) for c in first.columns] != [(c.name, c.type.oid) for c in other.columns]:
        raise _error(
            statement,
            "its columns differ with the optional lines that are taken",
            "keep optional lines and choices out of the select list",
            detail=_side_by_side(
                [(c.name, str(c.type)) for c in first.columns], [(c.name, str(c.type)) for c in other.columns]
            ),
        )


def _add_row(
    module: Module, name: str, variants: Sequence[Analysis], statement: Statement, package: str
) -> None:
    fields: list[Field] = []
    groups: dict[str, list[int]] = {}
    previous = ""
    for number in range(1, len(variants[0].columns) + 1):
        column = widest_column(variants, number - 1)
        outer, dot, inner = column.name.partition(".")
        if not is_field_name(outer) or (dot and not is_field_name(inner)):
            raise _error(
                statement,
                f"column {number} is called {column.name!r}, which no field can be called",
                "give it an alias: as total",
            )
        if dot:
            if outer in groups and previous != outer:
                raise _error(
                    statement,
                    f"the columns of {outer!r} do not stand side by side",
                    f'move "{column.name}" to the other columns of "{outer}"',
                )
            groups.setdefault(outer, []).append(number - 1)
            if previous != outer:
                fields.append(Field(outer, Annotation(class_name(outer)), False))
        else:
            annotation = _annotate_column(statement, column, package, nested=False)
            _add_composites(module, annotation, statement)
            fields.append(Field(outer, annotation, column.nullable))
        previous = outer if dot else ""
    names = [f.name for f in fields]
    for duplicate in sorted({n for n in names if names.count(n) > 1}):
        raise _error(statement, f"two columns are called {duplicate!r}", "give one of them an alias")
    for outer, indexes in groups.items():
        parts = [[variant.columns[index] for index in indexes] for variant in variants]
        fields = _add_nested(module, outer, parts, fields, statement, package)
    described = f"A row of `{statement.module}`."
    _add_class(module, RowClass(name, fields, "Row", described, statement), statement)


def _add_nested(
    module: Module,
    outer: str,
    variants: list[list[ColumnFact]],
    fields: list[Field],
    statement: Statement,
    package: str,
) -> list[Field]:
    """Add the class of a nested row; return the outer row's fields with its nullability set.

    ``variants`` holds the nested row's columns as each variant has them: which of them are null together is
    a variant's own.
    """
    together = [_null_together(columns) for columns in variants]
    inner = []
    for index, column in enumerate(variants[0]):
        annotation = _annotate_column(statement, column, package, nested=True)
        _add_composites(module, annotation, statement)
        nullable = any(
            columns[index].nullable_in_group if grouped else columns[index].nullable
            for columns, grouped in zip(variants, together, strict=True)
        )
        inner.append(Field(column.name.partition(".")[2], annotation, nullable))
    name = class_name(outer)
    _add_class(module, RowClass(name, inner, "Row", f"The nested `{outer}` of a row.", statement), statement)
    return [Field(f.name, f.annotation, any(together)) if f.name == outer else f for f in fields]


def _null_together(columns: Sequence[ColumnFact]) -> bool:
    group = columns[0].nullable_group
    return group is not None and all(column.nullable_group == group for column in columns)


def _add_composites(module: Module, annotation: Annotation, statement: Statement) -> None:
    for type in annotation.composites:
        fields = []
        for attribute in type.attributes:
            inner = _annotate(statement, attribute.name, attribute.type)
            _add_composites(module, inner, statement)
            fields.append(Field(attribute.name, inner, not attribute.not_null))
        _add_class(
            module,
            RowClass(class_name(type.name), fields, "Composite", f"The composite type `{type}`.", statement),
            statement,
        )


def _add_class(module: Module, new: RowClass, statement: Statement) -> None:
    known = module.classes.get(new.name)
    if known is None:
        module.classes[new.name] = new
        return
    mine = [(f.name, f.annotation.text) for f in new.fields]
    theirs = [(f.name, f.annotation.text) for f in known.fields]
    if mine != theirs or known.base != new.base:
        other = known.source.path if known.source else module.name
        raise _error(
            statement,
            f"its {new.name} differs from the {new.name} of {other}",
            "select the same columns in the same order, or name another row in 'returns:'",
            detail=_side_by_side(mine, theirs),
        )
    # The same columns: what can be null in one query can be null in the shared class.
    known.fields = [
        Field(old.name, old.annotation, old.nullable or add.nullable)
        for old, add in zip(known.fields, new.fields, strict=True)
    ]


def _plan_parameters(
    item: Checked, module: Module
) -> tuple[tuple[tuple[str, Annotation, str], ...], dict[str, str]]:
    statement = item.statement
    facts = item.parameters
    planned: list[tuple[str, Annotation, str]] = []
    wraps: dict[str, str] = {}
    for parameter in statement.parameters:
        fact = facts[parameter.name]
        if parameter.encryption is not None:
            annotation = PARAMETER
        else:
            annotation = _annotate(statement, f":{parameter.name}", fact.type, parameter=True)
        _add_composites(module, annotation, statement)
        if wrap := _wrap(fact.type):
            wraps[parameter.name] = wrap
        bounds = parameter.bounds
        default = ""
        nullable = fact.nullable
        if bounds is not None and bounds.has_default:
            default = _default(statement, parameter.name, bounds, fact.type)
            nullable = nullable or bounds.default is None
        elif parameter.optional:
            default = "UNSET"
        annotation = annotation.or_null() if nullable else annotation
        if default == "UNSET":
            annotation = annotation.wrapped(
                "{} | UnsetType", ("plainsql.types", "UNSET"), ("plainsql.types", "UnsetType")
            )
        if "Decimal(" in default or (bounds and "Decimal(" in f"{bounds.low!r} {bounds.high!r}"):
            annotation = annotation.wrapped("{}", ("decimal", "Decimal"))
        planned.append((parameter.name, annotation, default))
    for choice in statement.choices:
        values = ", ".join(f'"{value}"' for value in choice.values)
        planned.append(
            (
                choice.name,
                Annotation(f"Literal[{values}]", frozenset({("typing", "Literal")})),
                "" if choice.default is None else f'"{choice.default}"',
            )
        )
    return tuple(planned), wraps


_INTEGERS = {"int2", "int4", "int8", "oid"}
_FLOATS = {"float4", "float8"}
_TEXTS = {"text", "varchar", "bpchar", "name", "citext"}


def _default(statement: Statement, name: str, bounds: Bounds, type: PgType) -> str:
    """The default as source, in the parameter's own type."""
    value = bounds.default
    while type.kind == "domain" and type.element is not None:
        type = type.element
    if value is None:
        return "None"
    if isinstance(value, bool):
        fits, written = type.name == "bool", repr(value)
    elif isinstance(value, str):
        fits, written = type.name in _TEXTS or value in type.labels, string_literal(value)
    elif type.name in _FLOATS:
        fits, written = True, repr(float(value))
    elif type.name == "numeric":
        fits, written = True, f"Decimal({str(value)!r})"
    else:
        fits, written = type.name in _INTEGERS and value == int(value), repr(int(value))
    if not fits:
        place = bounds.place or Place(statement.path, statement.body_line)
        raise ContractError(
            f"{statement.name}: the default of {name} is no {type}, which is its type",
            place=place,
            hint="defaults are numbers, texts, labels, true, false or null; else, use coalesce in the SQL",
        )
    return written


def _wrap(type: PgType) -> str:
    """The function that a parameter of this type passes through on its way to the driver, if any."""
    while type.kind == "domain" and type.element is not None:
        type = type.element
    if type.kind == "composite":
        return "composite"
    if type.kind == "array" and type.element is not None:
        inner = type.element
        while inner.kind == "domain" and inner.element is not None:
            inner = inner.element
        if inner.kind == "composite":
            return "composite"
        if inner.name in ("json", "jsonb", "vector", "halfvec", "sparsevec"):
            return "elements"
    return ""


def _annotate_column(statement: Statement, column: ColumnFact, package: str, *, nested: bool) -> Annotation:
    for hint in statement.columns:
        if hint.name == column.name and hint.encryption is not None:
            return annotate_encrypted(hint.encryption)
        if hint.name == column.name and hint.type is not None:
            written, outer = _json_target(hint.type, hint.place, column, statement)
            return _json_annotation(written, statement, package).wrapped(outer)
    return _annotate(statement, column.name, column.type)


def _json_target(written: str, place: Place, column: ColumnFact, statement: Statement) -> tuple[str, str]:
    """The type of one JSON value of a column, and what stands around it: of an array, each element is one."""
    type = column.type
    while type.kind == "domain" and type.element is not None:
        type = type.element
    if type.name in ("json", "jsonb"):
        return written, "{}"
    is_array = type.kind == "array" and type.element is not None and type.element.name in ("json", "jsonb")
    if is_array and written.startswith("list[") and written.endswith("]"):
        return written.removeprefix("list[").removesuffix("]"), "list[{}]"
    raise ContractError(
        f"{statement.name}: the header gives {column.name} the type {written}, but it is {column.type}",
        place=place,
        hint="write list[…] around the type of its elements"
        if is_array
        else f"only json and jsonb have types of their own: remove the line, or cast {column.name}::jsonb",
    )


def _json_annotation(written: str, statement: Statement, package: str) -> Annotation:
    """``whatsapp.Payload`` → ``Annotated[Payload, JSON]``, with ``Payload`` from that layer's ``types``
    module.
    """
    import re

    imports = {("typing", "Annotated"), ("plainsql.types", "JSON")}
    own_layer = statement.name.split(".")[0] if "." in statement.name else ""

    def resolve(match: re.Match[str]) -> str:
        path, _, name = match[0].rpartition(".")
        if not path and name in ("list", "dict", "str", "int", "float", "bool", "None", "tuple", "set"):
            return name
        if "." not in path:  # a layer's own types: <package>.<layer>.types
            layer = path or own_layer
            imports.add((".".join(part for part in (package, layer, "types") if part), name))
        else:
            imports.add((path, name))
        return name

    text = re.sub(r"[A-Za-z_][\w.]*", resolve, written)
    return Annotation(f"Annotated[{text}, JSON]", frozenset(imports))


def _annotate(statement: Statement, what: str, type: PgType, *, parameter: bool = False) -> Annotation:
    try:
        return annotate_parameter(type) if parameter else annotate(type)
    except LookupError as error:
        unknown = error.args[0]
        raise _error(
            statement,
            f"{what} has the type {unknown}, which plainsql has no Python type for",
            f"cast it: {what}::text",
        ) from None


def _error(statement: Statement, message: str, hint: str, *, detail: str | None = None) -> ContractError:
    place = Place(statement.path, statement.body_line)
    return ContractError(f"{statement.name}: {message}", place=place, detail=detail, hint=hint)


def _side_by_side(mine: list[tuple[str, str]], theirs: list[tuple[str, str]]) -> str:
    left = [f"{name}: {type}" for name, type in mine]
    right = [f"{name}: {type}" for name, type in theirs]
    width = max(map(len, left), default=0)
    rows = max(len(left), len(right))
    left += [""] * (rows - len(left))
    right += [""] * (rows - len(right))
    return "\n" + "\n".join(
        f"    {a:<{width}}  {' ' if a == b else '|'}  {b}".rstrip() for a, b in zip(left, right, strict=True)
    )
