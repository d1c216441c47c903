"""The refusal of calls without a tenant that row-level security would show nothing."""

from __future__ import annotations

from typing import Any

from plainsql.query import CompiledQuery
from plainsql.tenancy import is_visible_sql, no_tenant, secured

__all__ = ["TenantGuard"]


_IS_VISIBLE = is_visible_sql("$1", "$2")


class TenantGuard:
    """Refuses the queries that row-level security answers with nothing, because no tenant is set.

    Nothing is what a table without rows answers too: a caller who forgot the tenant would never know.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._open: set[str] = set()
        """Queries that see something without a tenant: by the role, which stays."""

    def knows(self, query: CompiledQuery[Any, Any]) -> bool:
        """Whether the query has been found to see something without a tenant."""
        return query.name in self._open

    async def check(
        self,
        connection: Any,
        query: CompiledQuery[Any, Any],
        *,
        lasting: bool = True,
        lasting_setting: bool = True,
    ) -> None:
        """Raise ``TenantError`` where the query's tables are closed to this session.

        ``lasting``: whether the session's role and settings are those that every session begins with; not
        where a transaction may have changed them for itself. ``lasting_setting``: the same of a tenant that
        is set; not behind a pooler, where it may be what another program has left.
        """
        if query.name in self._open:
            return
        tables = secured(query.row_security, self._setting)
        is_set, is_open = False, True
        if tables:
            is_set, is_open = await connection.fetchrow(_IS_VISIBLE, tables, self._setting)
        if is_set or is_open:
            if lasting and (is_open or lasting_setting):
                self._open.add(query.name)
            return
        raise no_tenant(query.name, tables[0], self._setting)
