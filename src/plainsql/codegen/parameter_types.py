"""The ``TypedDict`` of each query's parameters: its name, and its source in a generated module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainsql.codegen.python_types import Annotation
from plainsql.codegen.source_names import class_name, string_literal

if TYPE_CHECKING:
    from plainsql.codegen.modules import Module, QueryFunction
    from plainsql.codegen.render import Names

__all__ = ["parameter_type_names", "render_parameter_types"]

_WIDTH = 110


def parameter_type_names(module: Module) -> dict[str, str]:
    """Return the name of the ``TypedDict`` for each function that has parameters: ``CreateParameters``.

    A name that the module has already gets a number.
    """
    taken = {row.name for row in module.classes} | {f.statement.function for f in module.functions}
    names: dict[str, str] = {}
    for function in sorted(module.functions, key=lambda function: function.statement.name):
        if function.parameters:
            first = name = f"{class_name(function.statement.function)}Parameters"
            number = 1
            while name in taken:
                number += 1
                name = f"{first}{number}"
            taken.add(name)
            names[function.statement.function] = name
    return names


def render_parameter_types(module: Module, names: Names) -> str:
    """Return the source of the classes: declared for type checkers, and made at run time when imported."""
    if not names.parameter_types:
        return ""
    declared = "".join(_typed_dict(f, names) for f in module.functions if f.parameters)
    listed = "".join(
        f"        {string_literal(name)}: {string_literal(function)},\n"
        for function, name in sorted(names.parameter_types.items())
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
