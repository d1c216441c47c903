"""The ``TypedDict`` of a query's parameters, at run time.

A generated module declares ``CreateParameters`` for type checkers alone. At run time the class is made of
the query's function when a program first imports it: an import of the module does not pay for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import new_class
from typing import Any, NotRequired, TypedDict

__all__ = ["parameter_types"]


def parameter_types(module: str, functions: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a generated module.

    ``functions`` holds the name of the query's function for the name of each class.
    """

    def find(name: str) -> Any:
        if name not in functions:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        namespace = vars(sys.modules[module])
        return namespace.setdefault(name, _typed_dict(name, module, namespace[functions[name]]._bind))

    return find


def _typed_dict(name: str, module: str, bind: Any) -> type:
    defaults = bind.__kwdefaults__ or {}
    keys = {
        key: NotRequired[annotation] if key in defaults else annotation
        for key, annotation in bind.__annotations__.items()
        if key != "return"
    }
    # The annotations are texts, which are evaluated in the namespace of ``__module__``.
    body = {
        "__module__": module,
        "__doc__": f"The parameters of ``{bind.__name__}``.",
        "__annotations__": keys,
    }
    return new_class(name, (TypedDict,), exec_body=lambda namespace: namespace.update(body))
