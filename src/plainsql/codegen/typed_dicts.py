"""The ``TypedDict`` of each query's parameters: its name, and its source in a generated module.

A copy also has a ``Protocol``: its rows may be any objects with these fields, next to mappings and tuples.
"""

from __future__ import annotations

from typing import Protocol

from plainsql.codegen.modules import Module, QueryFunction
from plainsql.codegen.python_types import Annotation
from plainsql.codegen.source_names import class_name, string_literal

__all__ = ["parameter_type_names", "render_parameter_types", "rows_alias"]

_WIDTH = 110


class Names(Protocol):
    """The names of a module, as `render` chooses them."""

    @property
    def parameter_types(self) -> dict[str, str]:
        """The name of the ``TypedDict`` of each function's parameters."""
        ...

    @property
    def row_types(self) -> dict[str, str]:
        """The name of the ``Protocol`` of each copy's rows."""
        ...

    def of(self, name: str) -> str:
        """Return the module's name for an import."""
        ...

    def annotation(self, annotation: Annotation) -> str:
        """Return an annotation as the module writes it."""
        ...


def parameter_type_names(module: Module) -> tuple[dict[str, str], dict[str, str]]:
    """Return the name of the ``TypedDict`` for each function that has parameters, ``CreateParameters``, and
    that of the ``Protocol`` for each copy, ``LoadRow``.

    A name that the module has already gets a number.
    """
    taken = {row.name for row in module.classes} | {f.statement.function for f in module.functions}
    names: dict[str, str] = {}
    rows: dict[str, str] = {}

    def choose(chosen: dict[str, str], function: QueryFunction, ending: str) -> None:
        first = name = f"{class_name(function.statement.function)}{ending}"
        number = 1
        while name in taken:
            number += 1
            name = f"{first}{number}"
        taken.add(name)
        chosen[function.statement.function] = name

    for function in sorted(module.functions, key=lambda function: function.statement.name):
        if function.parameters:
            choose(names, function, "Parameters")
        if function.statement.returns.copied:
            choose(rows, function, "Row")
    return names, rows


def rows_alias(function: QueryFunction, names: Names) -> str:
    """Return the module's own name for the types that a copy's row may have: ``_LoadRow``."""
    return f"_{names.row_types[function.statement.function]}"


def render_parameter_types(module: Module, names: Names) -> str:
    """Return the source of the classes: declared for type checkers, and made at run time when imported."""
    if not names.parameter_types:
        return ""
    declared = "".join(_typed_dict(f, names) for f in module.functions if f.parameters)
    declared += "".join(_protocol(f, names) for f in module.functions if f.statement.returns.copied)
    listed = "".join(
        f"        {string_literal(name)}: {string_literal(function)},\n"
        for function, name in sorted([*names.parameter_types.items(), *names.row_types.items()])
    )
    made = names.of("parameter_types")
    return (
        f"\n\nif {names.of('TYPE_CHECKING')}:\n{declared}else:\n"
        f"    __getattr__ = {made}(__name__, {{\n{listed}    }})\n"
    )


def _typed_dict(function: QueryFunction, names: Names) -> str:
    name = names.parameter_types[function.statement.function]
    keys = []
    for planned in function.parameters:
        annotation = names.annotation(Annotation(planned.annotation.text, planned.annotation.imports))
        if planned.default:
            annotation = f"{names.of('NotRequired')}[{annotation}]"
        keys.append(f"{string_literal(planned.name)}: {annotation}")
    begin = f"    {name} = {names.of('TypedDict')}({string_literal(name)}, {{"
    one_line = f"{begin}{', '.join(keys)}}})\n"
    if len(one_line) <= _WIDTH:
        return one_line
    return begin + "\n" + "".join(f"        {key},\n" for key in keys) + "    })\n"


def _protocol(function: QueryFunction, names: Names) -> str:
    name = names.row_types[function.statement.function]
    fields = "".join(
        f"        @{names.annotation(Annotation('property'))}\n"
        f"        def {planned.name}(self) -> {names.annotation(planned.annotation)}: ...\n"
        for planned in function.parameters
    )
    imports = frozenset(pair for planned in function.parameters for pair in planned.annotation.imports)
    values = Annotation(f"tuple[{', '.join(p.annotation.text for p in function.parameters)}]", imports)
    listed = names.parameter_types[function.statement.function]
    return (
        f"    class {name}({names.of('Protocol')}):\n{fields}"
        f"    {rows_alias(function, names)} = {name} | {listed} | {names.annotation(values)}\n"
    )
