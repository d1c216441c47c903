"""The times to live of cached queries that a project sets, in place of those in their headers.

The first that is given wins: ``connect(cache_ttl=…)``, ``PLAINSQL_CACHE_TTL``, ``[tool.plainsql.cache]``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from plainsql.dependencies import CachedRead
from plainsql.duration_text import seconds_of
from plainsql.errors import Place, SettingsError
from plainsql.setting_tables import SettingsFile, kind_of
from plainsql.settings import Project

__all__ = ["CacheTime", "CacheTimes", "cache_times", "project_cache_times"]

_OFF: Final = "off"
_MAX_S: Final = 2**31
_EXAMPLE: Final = 'write, for example, "realty.properties.search" = "30m", or "off"'


@dataclass(frozen=True, slots=True)
class CacheTime:
    """The time to live of the queries whose names match a pattern."""

    pattern: str
    ttl: float | None
    """Seconds; None if the results are not stored."""
    place: Place | None = None

    def matches(self, name: str) -> bool:
        """Return whether the pattern matches the name of a query. ``*`` matches dots as well."""
        return fnmatchcase(name, self.pattern)


class CacheTimes:
    """The times to live that a project sets, by patterns of names."""

    def __init__(self, times: Iterable[CacheTime] = ()) -> None:
        self.times = tuple(times)
        self._by_name = {each.pattern: each for each in reversed(self.times)}

    def time_of(self, name: str) -> CacheTime | None:
        """Return the time that is set for a query; None if its header's counts."""
        return self._by_name.get(name) or next((each for each in self.times if each.matches(name)), None)

    def of(self, name: str, read: CachedRead) -> CachedRead | None:
        """Return the caching of a query: its header's, with the time of the project; None if it is off.

        An entry of the whole name wins over patterns; the first pattern that matches, over the others.
        """
        found = self.time_of(name)
        if found is None:
            return read
        if found.ttl is None:
            return None
        local = None if read.local is None else min(read.local, found.ttl)
        return replace(read, ttl=found.ttl, local=local)


def cache_times(
    given: Mapping[str, str] | None = None, *, environ: Mapping[str, str] | None = None
) -> CacheTimes:
    """Return the times that are given, else those of the environment, else those of the project.

    Raises ``SettingsError`` if one is no time.
    """
    environ = os.environ if environ is None else environ
    if given is not None:
        return CacheTimes(_time(name, value, "connect(): cache_ttl") for name, value in given.items())
    if text := environ.get("PLAINSQL_CACHE_TTL", "").strip():
        return CacheTimes(_of_environment(part) for part in text.split(","))
    return project_cache_times(Project.load())


def project_cache_times(project: Project) -> CacheTimes:
    """Return the times of the table ``cache`` of a project. Raises ``SettingsError`` if one is no time."""
    if not project.cache:
        return CacheTimes()
    file = SettingsFile(project.root / "pyproject.toml")
    return CacheTimes(
        _time(name, value, "[tool.plainsql.cache]", file.place(name)) for name, value in project.cache.items()
    )


def _of_environment(part: str) -> CacheTime:
    name, separator, value = (text.strip() for text in part.partition("="))
    if not separator or not name:
        raise SettingsError(
            "PLAINSQL_CACHE_TTL: expected names of queries with times",
            hint="write, for example, realty.properties.search=30m, realty.messages.*=off",
        )
    return _time(name, value, "PLAINSQL_CACHE_TTL")


def _time(name: str, value: Any, where: str, place: Place | None = None) -> CacheTime:
    if value == _OFF:
        return CacheTime(name, None, place)
    seconds = seconds_of(value) if isinstance(value, str) else None
    if seconds is None or not 0.001 <= seconds < _MAX_S:
        got = repr(value[:40]) if isinstance(value, str) else kind_of(value)
        raise SettingsError(
            f"{name!r} in {where}: expected a time such as '30m', or 'off', got {got}",
            place=place,
            hint=_EXAMPLE if isinstance(value, dict) else "use the units ms, s, m, h and d",
        )
    return CacheTime(name, seconds, place)
