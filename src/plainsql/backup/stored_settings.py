"""The settings of roles and databases, as ``alter … set`` takes what the catalog holds."""

from __future__ import annotations

import re
from typing import Final

from psycopg import sql

__all__ = ["setting_name", "setting_value"]

_LISTS: Final = frozenset(
    [
        *("search_path", "temp_tablespaces", "session_preload_libraries", "shared_preload_libraries"),
        *("local_preload_libraries", "unix_socket_directories"),
    ]
)
_ITEM: Final = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')


def setting_name(name: str) -> sql.Composable:
    """Return the name of a setting, each of its parts quoted."""
    return sql.SQL(".").join(sql.Identifier(part) for part in name.split("."))


def setting_value(name: str, value: str) -> sql.Composable:
    """Return the value of a setting: a list of names is given name by name, as one text it were one name."""
    if name.lower() not in _LISTS:
        return sql.Literal(value)
    items = [quoted.replace('""', '"') if quoted else bare for quoted, bare in _ITEM.findall(value)]
    return sql.SQL(", ").join(map(sql.Literal, items)) if items else sql.Literal("")
