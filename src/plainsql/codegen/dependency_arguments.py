"""The dependencies and changes of a query as the arguments of its decorator."""

from __future__ import annotations

from collections.abc import Callable

from plainsql.codegen.modules import QueryFunction
from plainsql.codegen.source_names import string_literal
from plainsql.dependencies import CachedRead, Change, Dependency

__all__ = ["dependency_arguments", "dependency_names"]

_WIDTH = 104
"""The width of a change; with its indent and comma 110."""


def dependency_names(function: QueryFunction) -> set[str]:
    """The names of ``plainsql.dependencies`` that a query's decorator needs."""
    names = {"Change"} if function.changes else set()
    if function.cache is not None:
        names |= {"CachedRead", "Dependency"} if function.cache.dependencies else {"CachedRead"}
    return names


def dependency_arguments(function: QueryFunction, name: Callable[[str], str]) -> str:
    """Return the last arguments: none, or a line for each table; ``name`` maps a name to the module's own."""
    parts: list[str] = []
    if function.cache is not None:
        parts.append(_cache(function.cache, name))
    if function.changes:
        changes = "".join(f"\n    {_change(change, name)}," for change in function.changes)
        parts.append(f", changes=({changes}\n)")
    return "".join(parts)


def _cache(cache: CachedRead, name: Callable[[str], str]) -> str:
    lines = "".join(f"\n    {_dependency(each, name)}," for each in cache.dependencies)
    dependencies = f"({lines}\n)" if lines else "()"
    options = [
        f", {option}={_source(value)}"
        for option, value, default in (
            ("local", _short(cache.local), None),
            ("stale", _short(cache.stale), None),
            ("negative", cache.negative, True),
            ("scoped", cache.scoped, False),
            ("settings", cache.settings, ()),
        )
        if value != default
    ]
    return f", cache={name('CachedRead')}({_short(cache.ttl)!r}, {dependencies}{''.join(options)})"


def _dependency(dependency: Dependency, name: Callable[[str], str]) -> str:
    values = (dependency.table, dependency.column, dependency.parameter)
    return (
        f"{name('Dependency')}({', '.join(string_literal(value) for value in values if value is not None)})"
    )


def _change(change: Change, name: Callable[[str], str]) -> str:
    known = [f"({', '.join(map(string_literal, each))})" for each in change.known]
    begin = f"{name('Change')}({string_literal(change.table)}"
    if not known:
        return f"{begin})"
    one_line = f"{begin}, ({', '.join(known)}{',' if len(known) == 1 else ''}))"
    if len(one_line) < _WIDTH:
        return one_line
    return f"{begin}, (" + "".join(f"\n        {each}," for each in known) + "\n    ))"


def _source(value: object) -> str:
    if not isinstance(value, tuple):
        return repr(value)
    return f"({', '.join(map(string_literal, value))}{',' if len(value) == 1 else ''})"


def _short(seconds: float | None) -> float | None:
    """Return whole seconds without a decimal point."""
    return int(seconds) if seconds is not None and seconds == int(seconds) else seconds
