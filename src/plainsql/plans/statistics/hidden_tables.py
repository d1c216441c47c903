"""The tables whose statistics the role cannot see: ``pg_stats`` leaves them out without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from plainsql.errors import ConnectError
from plainsql.plans.statistics.production_statistics import USER_TABLES

__all__ = ["HiddenTable", "read_hidden", "refuse_hidden"]

_SHOWN: Final = 8
# Statistics of an index's expressions are shown for the index itself, and it has no grants of its own.
_HIDDEN: Final = f"""
select c.oid, n.nspname::text, c.relname::text, pg_catalog.row_security_active(c.oid) as by_policies
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'm', 'p') and c.reltuples > 0 and {USER_TABLES}
  and not exists (
    select 1 from pg_catalog.pg_depend as d
    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  and (
    pg_catalog.row_security_active(c.oid)
    or not pg_catalog.has_schema_privilege(n.oid, 'usage')
    or exists (
      select 1 from pg_catalog.pg_attribute as a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and not pg_catalog.has_column_privilege(c.oid, a.attnum, 'select'))
    or exists (
      select 1
      from pg_catalog.pg_index as i
      inner join pg_catalog.pg_attribute as a on a.attrelid = i.indexrelid
      where i.indrelid = c.oid and i.indkey[a.attnum - 1] = 0
        and not pg_catalog.has_column_privilege(i.indexrelid, a.attnum, 'select')))
order by 2, 3
"""


class HiddenTable(NamedTuple):
    """A table with rows, and with statistics that the role cannot see."""

    oid: int
    schema: str
    name: str
    by_policies: bool
    """True if row-level security hides them; otherwise a right is missing."""

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def read_hidden(connection: psycopg.Connection[Any]) -> list[HiddenTable]:
    """Return the hidden tables, in the order of their names."""
    return [HiddenTable(*row) for row in connection.execute(_HIDDEN).fetchall()]


def refuse_hidden(connection: psycopg.Connection[Any], hidden: Sequence[HiddenTable]) -> None:
    """Raise ``ConnectError`` if a table is hidden, with the grants that show it."""
    if not hidden:
        return
    role = sql.Identifier(connection.info.user).as_string(connection)
    by_policies = [str(each) for each in hidden if each.by_policies]
    by_rights = [str(each) for each in hidden if not each.by_policies]
    details, grants = [], []
    if by_policies:
        details.append(f"row-level security hides {_listed(by_policies)}")
        grants.append(f"alter role {role} bypassrls")
    if by_rights:
        details.append(f"no right to read all columns and index expressions of {_listed(by_rights)}")
        grants.append(f"grant pg_read_all_data to {role}")
    count = "1 table" if len(hidden) == 1 else f"{len(hidden)} tables"
    raise ConnectError(
        f"the role {connection.info.user} cannot see the statistics of {count}",
        detail="; ".join(details),
        hint=f"as an administrator: {'; '.join(grants)}; or keep the other tables with --incomplete",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
