"""The ``TypedDict`` of a query's parameters, at run time.

A generated module declares ``CreateParameters`` for type checkers alone. At run time the class is made of
the query's function when a program first imports it: an import of the module does not pay for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import new_class
from typing import Any, NotRequired, Protocol, TypedDict

__all__ = ["parameter_types"]


def parameter_types(module: str, functions: Mapping[str, str | Mapping[str, str]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a generated module.

    ``functions`` holds, for the name of each class, the name of the query's function or the fields of a row.
    """

    def find(name: str) -> Any:
        if name not in functions:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        namespace = vars(sys.modules[module])
        # The annotation of one class may name another one.
        for each, source in functions.items():
            is_row = each.rstrip("0123456789").endswith("Row")
            if is_row:
                namespace.setdefault(f"_{each}", Any)
            if each not in namespace:
                fields = _fields(namespace[source]._bind) if isinstance(source, str) else source
                namespace[each] = _made(each, module, Protocol if is_row else TypedDict, fields)
        return namespace[name]

    return find


def _fields(bind: Any) -> dict[str, Any]:
    defaults = bind.__kwdefaults__ or {}
    return {
        key: NotRequired[annotation] if key in defaults else annotation
        for key, annotation in bind.__annotations__.items()
        if key != "return"
    }


def _made(name: str, module: str, base: Any, fields: Mapping[str, Any]) -> type:
    # The annotations are texts, which are evaluated in the namespace of ``__module__``.
    body = {"__module__": module, "__doc__": f"A type of ``{module}``.", "__annotations__": dict(fields)}
    return new_class(name, (base,), exec_body=lambda namespace: namespace.update(body))
