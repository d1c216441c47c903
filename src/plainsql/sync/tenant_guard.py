"""The guard that refuses queries without a tenant if row-level security hides all rows from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from plainsql.query import CompiledQuery
from plainsql.sync.connection import SharedConnection
from plainsql.tenancy import is_visible_sql, no_tenant, secured

__all__ = ["TenantGuard"]

_IS_VISIBLE: Final = is_visible_sql("$1", "$2")


class TenantGuard:
    """Refuses queries that see no rows without a tenant, and remembers those that see some.

    An empty table returns no rows either: a caller that forgot the tenant could not see the difference.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._visible: set[str] = set()
        """The queries that see rows without a tenant."""

    def check(
        self, shared: SharedConnection, query: CompiledQuery[Any, Any], *, lasting: bool = False
    ) -> None:
        """Raise ``TenantError`` if row-level security hides the query's tables from this connection.

        ``lasting``: the connection has its first role and settings, and not those of a transaction, so the
        answer is remembered.
        """
        if query.row_security is None or query.name in self._visible:
            return
        if not (tables := secured(query.row_security, self._setting)):
            return
        found = shared.run_text(_IS_VISIBLE, [_array(tables), self._setting.encode()])
        is_set, is_visible = (found.get_value(0, column) == b"t" for column in range(2))
        if is_visible and lasting:
            self._visible.add(query.name)
        if not (is_set or is_visible):
            raise no_tenant(query.name, tables[0], self._setting)


def _array(names: Sequence[str]) -> bytes:
    """Return an array of texts as PostgreSQL reads it."""
    quoted = (name.replace("\\", r"\\").replace('"', r"\"") for name in names)
    return ("{" + ",".join(f'"{name}"' for name in quoted) + "}").encode()
