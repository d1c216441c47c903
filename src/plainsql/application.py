"""The settings of an application, as options, environment variables or keys of ``[tool.plainsql]``.

The first that is given wins: an option, the environment, ``pyproject.toml``. In production there may be no
``pyproject.toml``; so each of them has an environment variable. The application's name has no default that
all applications share: two of them on one Redis would accept each other's sessions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import cache

from plainsql.errors import OptionError, SettingsError
from plainsql.options import SETTING_NAME
from plainsql.search_path import quoted_path, read_search_path
from plainsql.settings import Project

__all__ = [
    "application_name",
    "cache_namespace",
    "project_search_path",
    "redis_prefix",
    "search_path",
    "tenant_settings",
]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_MAX_PREFIX_LENGTH = 128


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
        "the application has no name, and other applications may share its Redis",
        hint="set PLAINSQL_APPLICATION, or application in [tool.plainsql], or give a prefix",
    )


def redis_prefix(given: str | None, kind: str) -> str:
    """Return the prefix of keys in Redis: the one that is given, else the application's name and the kind.

    Raises ``OptionError`` if the given one cannot be a prefix, and what ``application_name`` raises.
    """
    if given is None:
        return f"{application_name()}:{kind}"
    _check("prefix", given)
    if not given:
        raise OptionError(
            "prefix: expected a name, got ''", hint="leave it out to use the application's name"
        )
    return given


def cache_namespace(given: str | None, *, environ: Mapping[str, str] | None = None) -> str:
    """Return the namespace of the cache's keys: the one that is given, else ``PLAINSQL_CACHE_PREFIX``, else
    ``cache_prefix`` in ``[tool.plainsql]``, else an empty one.

    It does not hold the application's name: all programs that write to one database must share it.
    """
    environ = os.environ if environ is None else environ
    if given is None:
        given = environ.get("PLAINSQL_CACHE_PREFIX") or Project.load().cache_prefix
    _check("cache_prefix", given)
    return given


def search_path(
    function: str, given: str | None, *, url_options: str = "", environ: Mapping[str, str] | None = None
) -> str:
    """Return the ``search_path`` of connections, as the text of the setting; empty for the server's own.

    It is the option that is given, else ``PLAINSQL_SEARCH_PATH``, else ``search_path`` in
    ``[tool.plainsql]``. A ``search_path`` in the ``options`` of the URL wins over the last two.

    Raises ``OptionError`` if it is no list of names.
    """
    environ = os.environ if environ is None else environ
    if given is not None:
        return quoted_path(read_search_path(given, f"{function}(): search_path"))
    if "search_path" in url_options:
        return ""
    if environ.get("PLAINSQL_SEARCH_PATH"):
        return quoted_path(read_search_path(environ["PLAINSQL_SEARCH_PATH"], "PLAINSQL_SEARCH_PATH"))
    return project_search_path(Project.load())


def project_search_path(project: Project) -> str:
    """Return the ``search_path`` of a project as the text of the setting.

    Raises ``OptionError`` if it is no list of names.
    """
    return quoted_path(read_search_path(project.search_path, "search_path in [tool.plainsql]"))


def tenant_settings(
    function: str = "",
    tenant_setting: str | None = None,
    user_setting: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> tuple[str, str]:
    """Return the names of the settings that hold the tenant's and the user's id.

    Each is the option that is given, else ``PLAINSQL_TENANT_SETTING`` and ``PLAINSQL_USER_SETTING``, else
    ``tenant_setting`` and ``user_setting`` in ``[tool.plainsql]``, else ``app.jwt_tenant`` and
    ``app.jwt_user``. The options have been checked by their ``function``.

    Raises ``OptionError`` if one is no name of a setting, or if both are the same.
    """
    environ = os.environ if environ is None else environ
    project = cache(Project.load)  # read at most once, and only if it is needed
    tenant = tenant_setting or _setting("tenant_setting", environ, project)
    user = user_setting or _setting("user_setting", environ, project)
    if tenant == user:
        place = f"{function}(): " if function else ""
        raise OptionError(
            f"{place}user_setting: expected another one than tenant_setting, got {user!r} twice"
        )
    return tenant, user


def _setting(option: str, environ: Mapping[str, str], project: Callable[[], Project]) -> str:
    """Return the name of a tenant's or a user's setting from the environment or the project."""
    place = f"PLAINSQL_{option.upper()}"
    name = environ.get(place) or ""
    if not name:
        place, name = f"{option} in [tool.plainsql]", str(getattr(project(), option))
    if not SETTING_NAME.fits(name):
        raise OptionError(f"{place}: expected {SETTING_NAME.expected}, got {name[:40]!r}")
    return name


def _check(name: str, prefix: object) -> None:
    if not isinstance(prefix, str):
        raise OptionError(f"{name}: expected a str, got {type(prefix).__name__}")
    # Braces would choose the slot in a Redis cluster.
    if len(prefix) > _MAX_PREFIX_LENGTH or not prefix.isprintable() or not {"{", "}"}.isdisjoint(prefix):
        raise OptionError(
            f"{name}: expected at most {_MAX_PREFIX_LENGTH} printable characters without braces, "
            f"got {prefix[:80]!r}"
        )
