"""The privileges that a role has in a database, compared with those that the queries need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from plainsql.errors import PlainsqlError
from plainsql.grants.least_grants import (
    Grant,
    LeastGrants,
    ObjectKind,
    UnknownGrant,
    shown_object,
    shown_privilege,
    unknown_comment,
)
from plainsql.grants.role_powers import (
    ReachedRole,
    RolePower,
    merged_powers,
    powers_of_roles,
    reached_roles,
)

__all__ = ["Comparison", "WiderGrant", "compare_grants", "correction"]

_ROLE: Final = """
select r.oid::bigint, quote_ident(r.rolname), r.rolsuper from pg_catalog.pg_roles as r where r.rolname = %s
"""

# The role's own grants, those of roles whose privileges it inherits, those of roles that it can become, and
# those of PUBLIC. A predefined role, such as pg_read_all_data, has none: the server knows what it may.
_HELD: Final = """
with grants as (
  select 'table' as kind, format('%%I.%%I', n.nspname, c.relname) as name, c.relkind = 'S' as is_sequence,
    null as col, 0 as number, a.grantee, a.privilege_type, c.relowner as owner
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  cross join aclexplode(
    coalesce(c.relacl, acldefault(case when c.relkind = 'S' then 's' else 'r' end::"char", c.relowner))
  ) as a
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  union all
  select 'table', format('%%I.%%I', n.nspname, c.relname), false, quote_ident(t.attname), t.attnum,
    a.grantee, a.privilege_type, c.relowner
  from pg_catalog.pg_attribute as t
  inner join pg_catalog.pg_class as c on c.oid = t.attrelid
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  cross join aclexplode(t.attacl) as a
  where not t.attisdropped
  union all
  select 'schema', quote_ident(n.nspname), false, null, 0, a.grantee, a.privilege_type, n.nspowner
  from pg_catalog.pg_namespace as n
  cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
  union all
  select 'function', format('%%I.%%I(%%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)),
    false, null, 0, a.grantee, a.privilege_type, p.proowner
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  cross join aclexplode(p.proacl) as a
)
select case when g.is_sequence then 'sequence' else g.kind end, g.name, coalesce(g.col, ''),
  case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
  lower(g.privilege_type), g.grantee = g.owner,
  case when g.grantee = 0 or pg_has_role(%(role)s::oid, g.grantee, 'usage') then 0 else g.grantee::bigint end
from grants as g
where (
    g.grantee = 0 or pg_has_role(%(role)s::oid, g.grantee, 'usage') or g.grantee = any (%(reached)s::oid[])
  )
  and g.name !~ '^(pg_|information_schema(\\.|$))'
order by 1, 2, 4, 5, g.number
"""

# By their names: to_regclass is refused to a role that may not use the schema.
_OBJECTS: Final = """
select 'schema', quote_ident(n.nspname), false, '{}'::text[]
from pg_catalog.pg_namespace as n
union all
select 'function', format('%%I.%%I(%%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)),
  has_function_privilege(%(role)s::oid, p.oid, 'execute'), '{}'
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
union all
select case when c.relkind = 'S' then 'sequence' else 'table' end, format('%%I.%%I', n.nspname, c.relname),
  false,
  array(
    select quote_ident(a.attname)
    from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and not a.attisdropped and a.attnum > 0
  )
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
"""
_RECORDS: Final = ("_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock", "plainsql_migration")
"""The starts of the names of tables with the records of migrations: health checks read them."""

_Row = tuple[str, str, str, str, str, bool]
"""The kind, name and column of an object, the grantee, the privilege, and True if the grantee owns it."""


class WiderGrant(Struct, frozen=True):
    """A privilege that a role has, and no query needs."""

    kind: ObjectKind
    name: str
    privilege: str
    columns: tuple[str, ...]
    """The columns that are not needed; empty for the whole object."""
    grantee: str
    """The role that it was granted to, as SQL writes it: the role, one that it inherits from, ``public``."""
    by_owner: bool = False
    """True if the grantee owns the object: no grant limits it."""
    perhaps: str = ""
    """The function that may need it; empty if nothing does."""


class Comparison(Struct, frozen=True):
    """The privileges of a role, compared with the least grants of a project."""

    role: str
    """The role as SQL writes it."""
    is_superuser: bool
    missing: tuple[Grant, ...] = ()
    """The grants that the role lacks, with the queries that fail without them."""
    absent: tuple[str, ...] = ()
    """The objects that the database does not have."""
    wider: tuple[WiderGrant, ...] = ()
    powers: tuple[RolePower, ...] = ()
    """The powers that no query needs, and no grant on an object shows."""
    unknown: tuple[UnknownGrant, ...] = ()
    """The parts of the queries whose privileges are not known, with those that the role does not have."""


def compare_grants(connection: Any, least: LeastGrants, role: str) -> Comparison:
    """Return how the privileges of a role in a database differ from the least grants.

    Raises ``PlainsqlError`` if there is no such role.
    """
    found = connection.execute(_ROLE, (role,)).fetchone()
    if found is None:
        raise PlainsqlError(
            f"the database has no role {role!r}", hint="name the role that the application connects as"
        )
    oid, shown, is_superuser = found
    if is_superuser:
        return Comparison(shown, True)
    with connection.transaction(force_rollback=True):  # which restores the search_path
        connection.execute("select pg_catalog.set_config('search_path', '', true)")
        roles = reached_roles(connection, oid)
        objects = {row[:2]: row[2:] for row in connection.execute(_OBJECTS, {"role": oid})}
        reached = {"role": oid, "reached": [each.oid for each in roles]}
        held = [(row[:6], row[6]) for row in connection.execute(_HELD, reached)]
    inherited = [row for row, becomes in held if not becomes]
    has = _HeldPrivileges(objects, inherited)
    missing: list[Grant] = []
    absent: list[str] = []
    for grant in least.grants:
        if (grant.kind, grant.name) not in objects:
            absent.append(grant.name)
        elif lacks := has.lacking(grant):
            missing.append(lacks)
    powers = [*powers_of_roles(roles)]
    for each in roles[1:]:
        if each.gate:
            wider = _wider(least, (row for row, becomes in held if becomes == each.oid))
            powers += _powers_of_grants(shown, each, [*wider])
    return Comparison(
        shown,
        False,
        tuple(missing),
        tuple(dict.fromkeys(absent)),
        tuple(_wider(least, inherited)),
        merged_powers(powers),
        tuple(has.unknown(least)),
    )


class _HeldPrivileges:
    """The privileges that a role has by grants, not by a predefined role."""

    def __init__(
        self, objects: Mapping[tuple[str, str], tuple[bool, list[str]]], rows: Iterable[_Row]
    ) -> None:
        self._objects = objects
        self._columns: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        """The columns of each privilege, ``""`` for the whole object."""
        for kind, name, column, _, privilege, _ in rows:
            self._columns[kind, name, privilege].add(column)

    def lacking(self, grant: Grant) -> Grant | None:
        """Return the part of a grant on an object of the database that the role lacks, if any."""
        executable, _ = self._objects[grant.kind, grant.name]
        if grant.kind == "function":
            return None if executable else grant
        held = self._columns[grant.kind, grant.name, grant.privilege]
        # Either of them allows nextval.
        if (grant.kind, grant.privilege) == ("sequence", "usage"):
            held = held | self._columns["sequence", grant.name, "update"]
        if "" in held or (grant.is_any and held):
            return None
        if not grant.columns:
            return None if self._has_all(grant.name, grant.privilege) else grant
        lacks = tuple(name for name in grant.columns if name not in held)
        return (grant if grant.is_any else replace(grant, columns=lacks)) if lacks else None

    def unknown(self, least: LeastGrants) -> Iterator[UnknownGrant]:
        """Yield what is not known, with the tables on which the role lacks a privilege that it may need."""
        for each in least.unknown:
            tables: dict[tuple[str, ...], list[str]] = {} if each.tables else {each.privileges: []}
            for table in each.tables:
                lacks = tuple(name for name in each.privileges if not self._has_all(table, name))
                if lacks:
                    tables.setdefault(lacks, []).append(table)
            for lacks, names in tables.items():
                yield replace(each, tables=tuple(names), privileges=lacks)

    def _has_all(self, table: str, privilege: str) -> bool:
        held = self._columns["table", table, privilege]
        _, columns = self._objects.get(("table", table), (False, []))
        return "" in held or (bool(columns) and held.issuperset(columns))


def _powers_of_grants(role: str, reached: ReachedRole, wider: list[WiderGrant]) -> Iterator[RolePower]:
    """Yield the power of a role that can become another one, if that one has more than the queries need."""
    first = next((each for each in wider if each.by_owner), wider[0] if wider else None)
    if first is not None and reached.gate is not None:
        taken = Grant(first.kind, first.name, first.privilege, first.columns)
        what = "owns" if first.by_owner else f"has {shown_privilege(taken)} on"
        via = "" if reached.gate_role == reached.name else f", a member of {reached.name}"
        yield RolePower(
            f"{role} can set role {reached.gate_role}{via}, which {what} {shown_object(taken)}", reached.gate
        )


def _wider(least: LeastGrants, held: Iterable[_Row]) -> Iterator[WiderGrant]:
    needed = {(grant.kind, grant.name, grant.privilege): grant for grant in least.grants}
    columns: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for kind, name, column, grantee, privilege, by_owner in held:
        if _is_expected(kind, name, grantee, privilege):
            continue
        grant = needed.get((kind, name, privilege))  # type: ignore[arg-type]
        if not column:
            if grant is None or grant.columns:
                yield _with_reason(least, WiderGrant(kind, name, privilege, (), grantee, by_owner))  # type: ignore[arg-type]
        elif grant is None or (grant.columns and not grant.is_any and column not in grant.columns):
            columns[kind, name, privilege, grantee, by_owner].append(column)
    for (kind, name, privilege, grantee, by_owner), names in columns.items():
        yield _with_reason(least, WiderGrant(kind, name, privilege, tuple(names), grantee, by_owner))


def _is_expected(kind: str, name: str, grantee: str, privilege: str) -> bool:
    """Return whether a grant is one of the server's defaults, or one that plainsql itself needs."""
    if grantee == "public" and (kind == "function" or (kind == "schema" and privilege == "usage")):
        return True
    return privilege == "select" and name.rpartition(".")[2].startswith(_RECORDS)


def _with_reason(least: LeastGrants, wider: WiderGrant) -> WiderGrant:
    for each in least.unknown:
        if wider.kind == "table" and (
            not each.tables or (wider.name in each.tables and wider.privilege in each.privileges)
        ):
            return replace(wider, perhaps=each.what)
    return wider


def correction(comparison: Comparison, least: LeastGrants) -> Iterator[str]:
    """Yield SQL that gives a role what its queries need, and takes what they do not.

    What is not judged follows as comments.
    """
    role = comparison.role
    for grant in comparison.missing:
        some = ", ".join(grant.queries[:3]) + (
            f" and {len(grant.queries) - 3} more" if grant.queries[3:] else ""
        )
        yield f"-- missing: {some}\ngrant {shown_privilege(grant)} on {shown_object(grant)} to {role};"
    for power in comparison.powers:
        yield f"{_comment(f'wider than the queries need: {power.what}')}\n{power.statement};"
    needed = {(grant.kind, grant.name, grant.privilege): grant for grant in least.grants}
    for wider in comparison.wider:
        taken = Grant(wider.kind, wider.name, wider.privilege, wider.columns)
        what = f"{shown_privilege(taken)} on {shown_object(taken)}"
        if wider.by_owner:
            yield _comment(f"{wider.grantee} owns {shown_object(taken)}, and may {wider.privilege}")
        elif wider.perhaps:
            yield _comment(f"perhaps wider, {wider.perhaps} may need it: {what}, granted to {wider.grantee}")
        else:
            lines = [f"-- wider than the queries need\nrevoke {what} from {wider.grantee};"]
            kept = needed.get((wider.kind, wider.name, wider.privilege))
            if kept is not None and not wider.columns:
                lines.append(f"grant {shown_privilege(kept)} on {shown_object(kept)} to {role};")
            yield "\n".join(lines)
    for unknown in comparison.unknown:
        yield unknown_comment(unknown, role)


def _comment(text: str) -> str:
    """Return a comment of one line: a name may have line breaks."""
    return f"-- {' '.join(text.split())}"
