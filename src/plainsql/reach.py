"""The former name of ``plainsql.dependencies``, for modules that an earlier version generated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainsql import dependencies
from plainsql.deprecation import caller_module, warn_of_old_module

if TYPE_CHECKING:
    from plainsql.dependencies import EVERYTHING, CachedRead, Change
    from plainsql.dependencies import Dependency as Dependence

__all__ = ["EVERYTHING", "CachedRead", "Change", "Dependence"]

_FORMER_NAMES = {"Dependence": "Dependency"}


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        value: object = getattr(dependencies, _FORMER_NAMES.get(name, name))
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    warn_of_old_module(caller_module(), stacklevel=2)
    return value
