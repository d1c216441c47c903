"""The name of the application: what keeps programs apart that share one Redis.

First found wins: an argument, ``PLAINSQL_APPLICATION``, ``application`` in ``[tool.plainsql]``, the project's
name in ``pyproject.toml``. There is no default that all would share: two applications would accept each
other's sessions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from plainsql.errors import OptionError, SettingsError
from plainsql.settings import Project

__all__ = ["application_name", "cache_namespace", "redis_prefix"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_MOST_CHARACTERS = 128


def application_name(*, environ: Mapping[str, str] | None = None) -> str:
    """Return the name of this application, in lower case and with hyphens, as package names are compared.

    Raises ``SettingsError`` if nothing names it, or if the name cannot be one.
    """
    environ = os.environ if environ is None else environ
    place, name = "PLAINSQL_APPLICATION", environ.get("PLAINSQL_APPLICATION") or ""
    if not name:
        place, name = "the application's name in pyproject.toml", Project.load().application
    if name and not _NAME.fullmatch(name):
        raise SettingsError(
            f"{place}: expected letters, digits, '.', '_' and '-', 64 at most, got {name[:80]!r}"
        )
    if name:
        return re.sub(r"[-_.]+", "-", name).lower()
    raise SettingsError(
        "nothing names this application, and others may share its Redis",
        hint="set PLAINSQL_APPLICATION, or application in [tool.plainsql], or give a prefix",
    )


def redis_prefix(given: str | None, kind: str) -> str:
    """Return what keys in Redis begin with: what is given, else the application's name and the kind.

    Raises ``OptionError`` if what is given cannot be a prefix, and what ``application_name`` raises.
    """
    if given is None:
        return f"{application_name()}:{kind}"
    _check("prefix", given)
    if not given:
        raise OptionError(
            "prefix: expected a name, got ''", hint="leave it out, and the application's name is used"
        )
    return given


def cache_namespace(given: str | None, *, environ: Mapping[str, str] | None = None) -> str:
    """Return what the cache's keys are told apart by: what is given, else ``PLAINSQL_CACHE_PREFIX``, else
    ``cache_prefix`` in ``[tool.plainsql]``; by default nothing.

    It does not hold the application's name: all who write to one database must share it.
    """
    environ = os.environ if environ is None else environ
    if given is None:
        given = environ.get("PLAINSQL_CACHE_PREFIX") or Project.load().cache_prefix
    _check("cache_prefix", given)
    return given


def _check(name: str, prefix: object) -> None:
    if not isinstance(prefix, str):
        raise OptionError(f"{name}: expected a str, got {type(prefix).__name__}")
    # Braces would choose the slot of a cluster.
    if len(prefix) > _MOST_CHARACTERS or not prefix.isprintable() or not {"{", "}"}.isdisjoint(prefix):
        raise OptionError(
            f"{name}: expected at most {_MOST_CHARACTERS} printable characters without braces, "
            f"got {prefix[:80]!r}"
        )
