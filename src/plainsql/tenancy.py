"""A tenant's settings in a session, and the refusal of calls without them; the same for both drivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from plainsql.errors import PlainsqlError, TenantError

__all__ = [
    "Tenant",
    "is_visible_sql",
    "local_settings",
    "no_tenant",
    "quoted_setting",
    "secured",
    "tenant_of",
]

Tenant = tuple[tuple[str, str], ...]
"""The settings that make a session a tenant's: names and values."""


def secured(row_security: Mapping[str, tuple[str, ...]] | None, setting: str) -> list[str]:
    """Return the tables of a query whose policies read the tenant's setting."""
    return [table for table, settings in (row_security or {}).items() if setting in settings]


def is_visible_sql(tables: str, setting: str) -> str:
    """Return the query for two columns: whether the tenant's setting is set, and whether rows of all tables
    may be seen without it. The arguments are the placeholders of an array of names and of the setting.

    Rows may be seen in three cases. The role bypasses the policies, as a superuser does, or an owner of
    tables that do not force them. A policy that does not read the setting lets the role through. The session
    has a tenant from elsewhere.
    """
    return f"""
select coalesce(current_setting({setting}, true), '') <> '' as is_set, not exists (
  select from unnest({tables}::text[]) as t (name)
  where
    row_security_active(to_regclass(t.name))
    and (
      exists (
        select from pg_policy as p
        where p.polrelid = to_regclass(t.name) and not p.polpermissive
          and strpos(pg_get_expr(p.polqual, p.polrelid), {setting}) > 0
      )
      or not exists (
        select from pg_policy as p
        where p.polrelid = to_regclass(t.name) and p.polpermissive
          and strpos(coalesce(pg_get_expr(p.polqual, p.polrelid), {setting}), {setting}) = 0
          and exists (
            select from unnest(p.polroles) as r (oid) where r.oid = 0 or pg_has_role(r.oid, 'usage')
          )
      )
    )
) as is_open
"""


def no_tenant(query: str, table: str, setting: str) -> TenantError:
    """Return the error of a call without a tenant on a table that shows no rows without one."""
    return TenantError(
        f"{query}: no tenant is set, and row-level security lets nothing of {table} through",
        detail=f"its policies read the setting {setting!r}",
        hint="call it on db.tenant(tenant_id), or on a transaction of that",
    )


def tenant_of(names: tuple[str, str], tenant_id: object, user_id: object) -> Tenant:
    """Return the settings of a tenant and of the user that acts for it.

    Raises ``PlainsqlError`` for a missing tenant, and for a text that PostgreSQL cannot hold.
    """
    tenant = "" if tenant_id is None else str(tenant_id)
    if not tenant:
        raise PlainsqlError("tenant(): expected a tenant's id, got none")
    user = "" if user_id is None else str(user_id)
    both = tenant + user
    if "\0" in both or not (both.isascii() or _is_utf8(both)):
        # Refused here, without the value: the driver and the server would quote it.
        is_tenant = "\0" in tenant or not _is_utf8(tenant)
        which = "the tenant's id" if is_tenant else "the user's id"
        raise PlainsqlError(f"tenant(): {which} is no text that PostgreSQL can hold")
    return (names[0], tenant), (names[1], user)


def local_settings(tenant: Tenant | None, names: Iterable[str]) -> str:
    """Return the statements that give the current transaction a tenant's settings, in the simple protocol.

    Without a tenant the settings ``names`` get the values that the session began with, whatever another
    client has set in it. The statements take no parameters: names and values are written as hexadecimal
    digits, and in no other form.
    """
    if tenant is None:
        return "; ".join(f"set local {quoted_setting(name)} to default" for name in names)
    return f"select {', '.join(f'set_config({_hex(name)}, {_hex(value)}, true)' for name, value in tenant)}"


def quoted_setting(name: str) -> str:
    """Return a setting's name as an identifier of SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def _hex(text: str) -> str:
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
