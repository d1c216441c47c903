"""A tenant's settings on a connection: for the session, or for one transaction behind a pooler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plainsql.database.leases import Tenant
from plainsql.errors import PlainsqlError, TenantError
from plainsql.query import Query

__all__ = ["Admission", "local_settings", "set_session", "tenant_of"]


# There is something to see where a role passes by the policies, as a superuser does and an owner of tables
# that do not force them; where a policy that does not ask lets this role through; and where the session has
# been given a tenant by other ways.
_SEES = """
select coalesce(current_setting($2, true), '') <> '' as is_set, not exists (
  select from unnest($1::text[]) as t (name)
  where
    row_security_active(to_regclass(t.name))
    and (
      exists (
        select from pg_policy as p
        where p.polrelid = to_regclass(t.name) and not p.polpermissive
          and strpos(pg_get_expr(p.polqual, p.polrelid), $2) > 0
      )
      or not exists (
        select from pg_policy as p
        where p.polrelid = to_regclass(t.name) and p.polpermissive
          and strpos(coalesce(pg_get_expr(p.polqual, p.polrelid), $2), $2) = 0
          and exists (
            select from unnest(p.polroles) as r (oid) where r.oid = 0 or pg_has_role(r.oid, 'usage')
          )
      )
    )
) as is_open
"""


class Admission:
    """Refuses the queries that row-level security answers with nothing, because no tenant is set.

    Nothing is what a table without rows answers too: a caller who forgot the tenant would never know.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._open: set[str] = set()
        """Queries that see something without a tenant: by the role, which stays."""

    def knows(self, query: Query[..., Any, Any]) -> bool:
        """Whether the query has been found to see something without a tenant."""
        return query.name in self._open

    async def check(
        self,
        connection: Any,
        query: Query[..., Any, Any],
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
        tables = [
            table for table, settings in (query.row_security or {}).items() if self._setting in settings
        ]
        is_set, is_open = False, True
        if tables:
            is_set, is_open = await connection.fetchrow(_SEES, tables, self._setting)
        if is_set or is_open:
            if lasting and (is_open or lasting_setting):
                self._open.add(query.name)
            return
        raise TenantError(
            f"{query.name}: no tenant is set, and row-level security lets nothing of {tables[0]} through",
            detail=f"its policies read the setting {self._setting!r}",
            hint="call it on db.tenant(tenant_id), or on a transaction of that",
        )


def tenant_of(names: tuple[str, str], tenant_id: object, user_id: object) -> Tenant:
    """Make the settings of a tenant and of the user who acts in its name."""
    tenant = "" if tenant_id is None else str(tenant_id)
    if not tenant:
        raise PlainsqlError("tenant(): expected a tenant's id, got none")
    user = "" if user_id is None else str(user_id)
    for what, value in (("the tenant's id", tenant), ("the user's id", user)):
        # Said here, without the value: the driver and the server would quote it.
        if "\0" in value or not (value.isascii() or _is_utf8(value)):
            raise PlainsqlError(f"tenant(): {what} is no text that PostgreSQL can hold")
    return (names[0], tenant), (names[1], user)


async def set_session(
    connection: Any, former: Tenant | None, tenant: Tenant | None, *, timeout: float | None = None
) -> None:
    """Make a session a tenant's, or nobody's, in one round trip. Nobody's has what it began with."""
    if tenant is None:
        resets = "; ".join(f"reset {_identifiers(name)}" for name, _ in former or ())
        await connection.execute(resets, timeout=timeout)
        return
    # What the former tenant has set and this one does not must go too.
    settings = {name: "" for name, _ in former or ()} | dict(tenant)
    calls = ", ".join(f"set_config(${2 * i + 1}, ${2 * i + 2}, false)" for i in range(len(settings)))
    values = [part for setting in settings.items() for part in setting]
    await connection.fetch(f"select {calls}", *values, timeout=timeout)


def local_settings(tenant: Tenant | None, names: Iterable[str]) -> str:
    """Return the statement that makes the current transaction a tenant's, for the simple protocol; without a
    tenant, nobody's: the settings ``names`` are what the session began with, whatever another client has
    set in it.

    It takes no parameters: names and values are written as hexadecimal digits, and nothing else of them is in
    the text.
    """
    if tenant is None:
        return "; ".join(f"set local {_identifiers(name)} to default" for name in names)
    return f"select {', '.join(f'set_config({_hex(name)}, {_hex(value)}, true)' for name, value in tenant)}"


def _identifiers(name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def _hex(text: str) -> str:
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
