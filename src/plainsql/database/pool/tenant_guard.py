"""The refusal of calls without a tenant that row-level security would show nothing."""

from __future__ import annotations

from typing import Any

from plainsql.query import CompiledQuery
from plainsql.tenancy import is_visible_sql, no_tenant, secured

__all__ = ["TenantGuard"]


_IS_VISIBLE_SQL = is_visible_sql("$1", "$2")


class TenantGuard:
    """Refuses a query if row-level security would return nothing because no tenant is set.

    An empty table returns nothing as well: a caller that forgot the tenant would never notice.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._open: set[str] = set()
        """The queries that return rows without a tenant, because of the role, which does not change."""

    def knows(self, query: CompiledQuery[Any, Any]) -> bool:
        """Return whether the query is known to return rows without a tenant."""
        return query.name in self._open

    async def check(
        self,
        connection: Any,
        query: CompiledQuery[Any, Any],
        *,
        lasting: bool = True,
        lasting_setting: bool = True,
    ) -> None:
        """Raise ``TenantError`` if the query's tables are closed to this session.

        ``lasting``: the session has the role and settings that every session begins with; false if a
        transaction may have changed them. ``lasting_setting``: the same of a tenant that is set; false behind
        a pooler, where another program may have set it.
        """
        if query.name in self._open:
            return
        tables = secured(query.row_security, self._setting)
        is_set, is_open = False, True
        if tables:
            is_set, is_open = await connection.fetchrow(_IS_VISIBLE_SQL, tables, self._setting)
        if is_set or is_open:
            if lasting and (is_open or lasting_setting):
                self._open.add(query.name)
            return
        raise no_tenant(query.name, tables[0], self._setting)
