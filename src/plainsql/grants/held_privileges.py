"""The privileges that a role has in a database, compared with those that the queries need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from plainsql.errors import PlainsqlError
from plainsql.grants.least_grants import Grant, LeastGrants, ObjectKind, shown_object, shown_privilege

__all__ = ["Comparison", "WiderGrant", "compare_grants", "correction"]

_ROLE: Final = """
select r.oid::bigint, quote_ident(r.rolname), r.rolsuper from pg_catalog.pg_roles as r where r.rolname = %s
"""

# The role's own grants, those of roles whose privileges it inherits, and those of PUBLIC.
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
  lower(g.privilege_type), g.grantee = g.owner
from grants as g
where (g.grantee = 0 or pg_has_role(%(role)s::oid, g.grantee, 'usage'))
  and g.name !~ '^(pg_|information_schema)'
order by 1, 2, 4, 5, g.number
"""

_HAS: Final = {
    "schema": "select has_schema_privilege(%s::oid, to_regnamespace(%s)::oid, %s)",
    "function": "select has_function_privilege(%s::oid, to_regprocedure(%s)::oid, %s)",
    "sequence": "select has_sequence_privilege(%s::oid, to_regclass(%s)::oid, %s)",
    "table": "select has_table_privilege(%s::oid, to_regclass(%s)::oid, %s)",
}
_HAS_ANY: Final = "select has_any_column_privilege(%s::oid, to_regclass(%s)::oid, %s)"
_HAS_COLUMNS: Final = """
select quote_ident(a.attname)
from pg_catalog.pg_attribute as a
where a.attrelid = to_regclass(%s) and not a.attisdropped
  and has_column_privilege(%s::oid, a.attrelid, a.attnum, %s)
"""
_OWN_COLUMNS: Final = """
select quote_ident(a.attname)
from pg_catalog.pg_attribute as a
where a.attrelid = to_regclass(%s) and not a.attisdropped and a.attnum > 0
"""
_RECORDS: Final = ("_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock", "plainsql_migration")
"""The starts of the names of tables with the records of migrations: health checks read them."""


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
        missing: list[Grant] = []
        absent: list[str] = []
        for grant in least.grants:
            lacks = _lacking(connection, oid, grant)
            if lacks is None:
                absent.append(grant.name)
            elif lacks:
                missing.append(lacks[0])
        held = connection.execute(_HELD, {"role": oid}).fetchall()
    return Comparison(shown, False, tuple(missing), tuple(dict.fromkeys(absent)), tuple(_wider(least, held)))


def _lacking(connection: Any, role: int, grant: Grant) -> list[Grant] | None:
    """Return the part of a grant that a role lacks, if any; ``None`` without the object."""
    # Either of them allows nextval.
    enough = "usage, update" if (grant.kind, grant.privilege) == ("sequence", "usage") else grant.privilege
    (has,) = connection.execute(_HAS[grant.kind], (role, grant.name, enough)).fetchone()
    if has is None:
        return None
    if has or grant.kind != "table":
        return [] if has else [grant]
    if grant.privilege in ("delete", "truncate"):
        return [grant]
    if grant.is_any:
        (any_,) = connection.execute(_HAS_ANY, (role, grant.name, grant.privilege)).fetchone()
        return [] if any_ else [grant]
    held = {name for (name,) in connection.execute(_HAS_COLUMNS, (grant.name, role, grant.privilege))}
    own = [name for (name,) in connection.execute(_OWN_COLUMNS, (grant.name,))]
    lacks = tuple(name for name in grant.columns or own if name not in held)
    return [replace(grant, columns=lacks if grant.columns else ())] if lacks else []


def _wider(least: LeastGrants, held: Iterable[tuple[str, str, str, str, str, bool]]) -> Iterator[WiderGrant]:
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
    """Yield SQL that gives a role what its queries need, and takes what they do not."""
    role = comparison.role
    for grant in comparison.missing:
        some = ", ".join(grant.queries[:3]) + (
            f" and {len(grant.queries) - 3} more" if grant.queries[3:] else ""
        )
        yield f"-- missing: {some}\ngrant {shown_privilege(grant)} on {shown_object(grant)} to {role};"
    needed = {(grant.kind, grant.name, grant.privilege): grant for grant in least.grants}
    for wider in comparison.wider:
        taken = Grant(wider.kind, wider.name, wider.privilege, wider.columns)
        what = f"{shown_privilege(taken)} on {shown_object(taken)}"
        if wider.by_owner:
            yield f"-- {wider.grantee} owns {shown_object(taken)}, and may {wider.privilege}"
        elif wider.perhaps:
            yield f"-- perhaps wider, {wider.perhaps} may need it: {what}, granted to {wider.grantee}"
        else:
            lines = [f"-- wider than the queries need\nrevoke {what} from {wider.grantee};"]
            kept = needed.get((wider.kind, wider.name, wider.privilege))
            if kept is not None and not wider.columns:
                lines.append(f"grant {shown_privilege(kept)} on {shown_object(kept)} to {role};")
            yield "\n".join(lines)
