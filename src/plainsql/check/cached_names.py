"""The names in ``[tool.plainsql.cache]``: each must match a cached query of the project, or of a layer."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

from plainsql import statements
from plainsql.cache_times import CacheTime, project_cache_times
from plainsql.check.problems import Problem, problem_of
from plainsql.errors import Place, SettingsError, SqlFileError
from plainsql.layer_folders import packaged_layers
from plainsql.settings import Project
from plainsql.statements import Statement

__all__ = ["cached_name_problems"]

_ADD: Final = "add a line such as cache: 5m to its header"


def cached_name_problems(
    project: Project, catalog: Mapping[str, Statement], *, complete: bool
) -> Iterator[Problem]:
    """Yield a problem for each entry of the table that is no time, or that no cached query has the name of.

    Without ``complete``, files of the project could not be read, and names may be theirs.
    """
    try:
        times = project_cache_times(project).times
    except SettingsError as error:
        yield problem_of(error, "settings")
        return
    own = {name: statement.cache is not None for name, statement in catalog.items()}
    missing = [each for each in times if not _is_cached(each, own)]
    if not missing or not complete:
        return
    known = own | _of_layers(missing)
    for each in missing:
        if _is_cached(each, known):
            continue
        uncached = [name for name in known if each.matches(name)]
        place = each.place or Place("pyproject.toml")
        if uncached:
            message = f"{uncached[0]} in [tool.plainsql.cache] is not cached"
            hint = _ADD if uncached[0] in own else "the queries of a layer are cached only if it caches them"
        else:
            message = f"there is no cached query {each.pattern!r} for [tool.plainsql.cache]"
            near = difflib.get_close_matches(each.pattern, [name for name in known if known[name]], 1)
            hint = f"did you mean {near[0]}?" if near else "write the name as check shows it, or a pattern"
        yield Problem("settings", place.path, place.line, place.column, message, None, hint, place.excerpt)


def _is_cached(time: CacheTime, known: Mapping[str, bool]) -> bool:
    return any(is_cached and time.matches(name) for name, is_cached in known.items())


def _of_layers(times: list[CacheTime]) -> dict[str, bool]:
    """Return the names of the queries of layers that entries may mean, and whether each is cached."""
    found: dict[str, bool] = {}
    for layer in packaged_layers().values():
        # Only its own files: the other layers cost as much again.
        if any(_may_mean(each, layer.name) for each in times):
            try:
                catalog = statements.load(layer.sql)
            except SqlFileError:
                continue
            found |= {f"{layer.name}.{name}": each.cache is not None for name, each in catalog.items()}
    return found


def _may_mean(time: CacheTime, layer: str) -> bool:
    first = time.pattern.partition(".")[0]
    return first == layer or not {*first}.isdisjoint("*?[")
