"""The former name of ``plainsql.dependencies``, for modules that an earlier version generated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainsql import dependencies
from plainsql.deprecation import former_attribute, warn_of_old_module

if TYPE_CHECKING:
    from plainsql.dependencies import EVERYTHING, CachedRead, Change
    from plainsql.dependencies import Dependency as Dependence

__all__ = ["EVERYTHING", "CachedRead", "Change", "Dependence"]

_FORMER_NAMES = {"Dependence": "Dependency"}


def __getattr__(name: str) -> object:
    _, value = former_attribute(__name__, dependencies, _FORMER_NAMES, name)
    warn_of_old_module(__name__)
    return value
