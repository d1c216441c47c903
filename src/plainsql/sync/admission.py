"""The refusal of queries that row-level security answers with nothing, because no tenant is set."""

from __future__ import annotations

from typing import Any

from plainsql.query import CompiledQuery
from plainsql.sync.session import Session
from plainsql.tenancy import is_visible_sql, no_tenant, secured

__all__ = ["Admission"]

_IS_VISIBLE = is_visible_sql("%(tables)s", "%(setting)s").encode()


class Admission:
    """Remembers which queries see something without a tenant, and refuses the others.

    No rows are what an empty table gives as well: a caller who forgot the tenant would never know.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._open: set[str] = set()

    def check(self, session: Session, query: CompiledQuery[Any, Any], *, lasting: bool = False) -> None:
        """Raise ``TenantError`` if the query's tables are closed to this session.

        ``lasting``: the session's role and settings are those that it begins with, and not a transaction's.
        """
        if query.row_security is None or query.name in self._open:
            return
        if not (tables := secured(query.row_security, self._setting)):
            return
        found = session.connection.execute(_IS_VISIBLE, {"tables": tables, "setting": self._setting})
        row = found.fetchone()
        is_set, is_open = row if row is not None else (False, False)
        if is_open and lasting:
            self._open.add(query.name)
        if not (is_set or is_open):
            raise no_tenant(query.name, tables[0], self._setting)
