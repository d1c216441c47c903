"""The powers of a role that no grant on an object shows: attributes, and memberships in other roles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

__all__ = ["ReachedRole", "RolePower", "merged_powers", "powers_of_roles", "reached_roles"]

# A role reaches another one by a chain of memberships: it inherits, it can SET ROLE, or it may grant itself
# either with the admin option. The gate is the first membership of the chain that does not inherit: without
# it, the role cannot become the other one. Before PostgreSQL 16 the options are attributes of the member,
# every member can SET ROLE, and a statement cannot name the grantor. A predefined role is
# a member of the server's own only.
_REACHED: Final = """
with recursive memberships as (
  select m.member, m.roleid,
    m.admin_option as admin,
    coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit) as inherits,
    coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) as sets,
    (format('revoke %%I from %%I', pg_get_userbyid(m.roleid), r.rolname)
    || case
      when to_jsonb(m) ? 'set_option' and m.grantor <> 10
        then format(' granted by %%I', pg_get_userbyid(m.grantor))
      else ''
    end) collate "C" as statement
  from pg_catalog.pg_auth_members as m
  inner join pg_catalog.pg_roles as r on r.oid = m.member
  where r.rolname !~ '^pg_'
),
reached as (
  select %(role)s::oid as role, true as sets, null::text collate "C" as gate, null::oid as gate_role,
    null::text collate "C" as statement
  union
  select m.roleid, (c.sets and m.sets) or m.admin,
    coalesce(c.gate, case when not m.inherits then m.statement end),
    coalesce(c.gate_role, case when not m.inherits then m.roleid end),
    m.statement
  from reached as c
  inner join memberships as m on m.member = c.role
  where m.inherits or (c.sets and m.sets) or m.admin
)
select r.oid::bigint, quote_ident(r.rolname), r.rolname ~ '^pg_',
  array_remove(
    array[
      case when r.rolsuper then 'superuser' end, case when r.rolcreaterole then 'createrole' end,
      case when r.rolcreatedb then 'createdb' end, case when r.rolreplication then 'replication' end,
      case when r.rolbypassrls then 'bypassrls' end
    ],
    null
  ),
  c.sets, c.gate, quote_ident(pg_get_userbyid(c.gate_role)), c.statement
from reached as c
inner join pg_catalog.pg_roles as r on r.oid = c.role
order by c.statement is not null, 2, c.gate is not null, c.gate, c.statement
"""


@dataclass(frozen=True, slots=True)
class ReachedRole:
    """A role whose privileges another one can use, by one chain of memberships; or that role itself."""

    oid: int
    name: str
    """The name as SQL writes it."""
    is_predefined: bool
    attributes: list[str]
    sets: bool
    """True if the other one can SET ROLE to it."""
    gate: str | None
    """The statement that takes away the first membership that does not inherit; ``None`` if all do."""
    gate_role: str | None
    """The role that this membership is in."""
    statement: str | None
    """The statement that takes away the last membership; ``None`` for the role itself."""


class RolePower(Struct, frozen=True):
    """A power of a role that no grant on an object shows."""

    what: str
    """The power as a clause: ``app has bypassrls``."""
    statement: str
    """The SQL that takes it away, without a semicolon."""


def reached_roles(connection: Any, role: int) -> list[ReachedRole]:
    """Return the role itself, then all roles that it reaches, once for each chain of memberships."""
    return [ReachedRole(*row) for row in connection.execute(_REACHED, {"role": role})]


def powers_of_roles(roles: Iterable[ReachedRole]) -> Iterator[RolePower]:
    """Yield the attributes of a role, its predefined roles, and the attributes of the roles it can become.

    ``roles`` are those of ``reached_roles``.
    """
    own, *others = roles
    for attribute in own.attributes:
        yield RolePower(f"{own.name} has {attribute}", f"alter role {own.name} no{attribute}")
    for each in others:
        revoke = each.gate or each.statement or ""
        becomes = f"{own.name} can set role {each.gate_role or each.name}"
        via = "" if each.gate_role in (None, each.name) else f", a member of {each.name}"
        if each.is_predefined:
            yield RolePower(
                f"{becomes}{via}" if each.gate else f"{own.name} is a member of {each.name}", revoke
            )
            continue
        for attribute in each.attributes if each.sets else ():
            what = f"{becomes}{via}, which has {attribute}"
            if each.gate or attribute == "superuser":
                yield RolePower(what, revoke)
            else:  # the grants that it inherits may be needed
                yield RolePower(what, f"alter role {each.name} no{attribute}")


def merged_powers(powers: Iterable[RolePower]) -> tuple[RolePower, ...]:
    """Return one power for each statement, with all that the statement takes away."""
    found: dict[str, dict[str, None]] = {}
    for power in powers:
        found.setdefault(power.statement, {})[power.what] = None
    return tuple(RolePower("; ".join(what), statement) for statement, what in found.items())
