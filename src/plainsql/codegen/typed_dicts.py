"""The ``TypedDict`` of each query's parameters: its name, and its source in a generated module.

The rows of a copy, and those of a parameter that is a list of rows, also have a ``Protocol``: a row may be
any object with these fields, a mapping or a tuple.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from plainsql.codegen.modules import Module
from plainsql.codegen.python_types import Annotation
from plainsql.codegen.source_names import class_name, string_literal

__all__ = ["TypeNames", "render_parameter_types", "rows_alias", "type_names"]

_WIDTH = 110
_Fields: TypeAlias = Sequence[tuple[str, Annotation]]


class TypeNames(NamedTuple):
    """The names of the types that a module declares for calls."""

    parameters: dict[str, str]
    """By function that has parameters, the ``TypedDict`` of these: ``CreateParameters``."""
    rows: dict[str, str]
    """By copy, ``load``, and by list of rows, ``add.customers``, the ``Protocol`` of a row."""
    mappings: dict[str, str]
    """By list of rows, the ``TypedDict`` of a row: ``AddCustomersDict``."""


class Names(Protocol):
    """The names of a module, as `render` chooses them."""

    @property
    def types(self) -> TypeNames:
        """The names of the types that the module declares for calls."""
        ...

    def of(self, name: str) -> str:
        """Return the module's name for an import."""
        ...

    def annotation(self, annotation: Annotation) -> str:
        """Return an annotation as the module writes it."""
        ...


def type_names(module: Module) -> TypeNames:
    """Return the names; a name that the module has already gets a number."""
    taken = {row.name for row in module.classes} | {f.statement.function for f in module.functions}
    names = TypeNames({}, {}, {})

    def choose(chosen: dict[str, str], key: str, ending: str) -> None:
        first = name = f"{class_name(key)}{ending}"
        number = 1
        while name in taken:
            number += 1
            name = f"{first}{number}"
        taken.add(name)
        chosen[key] = name

    for function in sorted(module.functions, key=lambda function: function.statement.name):
        if function.parameters:
            choose(names.parameters, function.statement.function, "Parameters")
        if function.statement.returns.copied:
            choose(names.rows, function.statement.function, "Row")
        for planned in function.parameters:
            if planned.fields:
                key = f"{function.statement.function}.{planned.name}"
                choose(names.rows, key, "Row")
                choose(names.mappings, key, "Dict")
    return names


def rows_alias(key: str, names: Names) -> str:
    """Return the module's own name for the types that a row may have: ``_LoadRow``."""
    return f"_{names.types.rows[key]}"


def render_parameter_types(module: Module, names: Names) -> str:
    """Return the source of the classes: declared for type checkers, and made at run time when imported."""
    if not names.types.parameters:
        return ""
    declared = ""
    made: dict[str, list[tuple[str, Annotation]]] = {}
    for function in module.functions:
        key = function.statement.function
        for planned in function.parameters:
            if planned.fields:
                rows = f"{key}.{planned.name}"
                fields = [(field.name, field.annotation) for field in planned.fields]
                declared += _typed_dict(names.types.mappings[rows], fields, (), names)
                declared += _protocol(rows, fields, names.types.mappings[rows], names)
                made |= dict.fromkeys((names.types.mappings[rows], names.types.rows[rows]), fields)
        if function.parameters:
            fields = [(planned.name, planned.annotation) for planned in function.parameters]
            optional = {planned.name for planned in function.parameters if planned.default}
            declared += _typed_dict(names.types.parameters[key], fields, optional, names)
            made[names.types.parameters[key]] = []
            if function.statement.returns.copied:
                declared += _protocol(key, fields, names.types.parameters[key], names)
                made[names.types.rows[key]] = []
    functions = {name: key for key, name in [*names.types.parameters.items(), *names.types.rows.items()]}
    listed = "".join(
        f"        {string_literal(name)}: {_fields(made[name], names) or string_literal(functions[name])},\n"
        for name in sorted(made)
    )
    return (
        f"\n\nif {names.of('TYPE_CHECKING')}:\n{declared}else:\n"
        f"    __getattr__ = {names.of('parameter_types')}(__name__, {{\n{listed}    }})\n"
    )


def _fields(fields: _Fields, names: Names) -> str:
    """Return the fields of a row as source: its annotations are texts."""
    pairs = (f"{string_literal(name)}: {string_literal(names.annotation(each))}" for name, each in fields)
    return f"{{{', '.join(pairs)}}}" if fields else ""


def _typed_dict(name: str, fields: _Fields, optional: Container[str], names: Names) -> str:
    keys = []
    for key, each in fields:
        annotation = names.annotation(each)
        if key in optional:
            annotation = f"{names.of('NotRequired')}[{annotation}]"
        keys.append(f"{string_literal(key)}: {annotation}")
    begin = f"    {name} = {names.of('TypedDict')}({string_literal(name)}, {{"
    one_line = f"{begin}{', '.join(keys)}}})\n"
    if len(one_line) <= _WIDTH:
        return one_line
    return begin + "\n" + "".join(f"        {key},\n" for key in keys) + "    })\n"


def _protocol(key: str, fields: _Fields, mapping: str, names: Names) -> str:
    name = names.types.rows[key]
    lines = "".join(
        f"        @{names.annotation(Annotation('property'))}\n"
        f"        def {field}(self) -> {names.annotation(each)}: ...\n"
        for field, each in fields
    )
    imports = frozenset(pair for _, each in fields for pair in each.imports)
    values = Annotation(f"tuple[{', '.join(each.text for _, each in fields)}]", imports)
    return (
        f"    class {name}({names.of('Protocol')}):\n{lines}"
        f"    {rows_alias(key, names)} = {name} | {mapping} | {names.annotation(values)}\n"
    )
