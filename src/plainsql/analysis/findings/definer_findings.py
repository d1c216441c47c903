"""Functions that run with more rights than their caller has, and let the caller decide what runs.

A name without a schema is looked up in the function's search_path, or in its caller's if it sets none. Types
and tables are looked up in pg_temp first unless the path names it. Any role may create objects there, and in
each schema that it has rights for. So a domain whose check is a function, in place of the type that the body
means, runs with the owner's rights. A trigger function also trusts the rows that it gets: they may be those
of a temporary table, if the table's owner may execute the function.

``security definer`` functions are not the only ones. A foreign key deletes or updates rows of the referencing
table as that table's owner, and the triggers that fire run as the owner too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["SCHEMA_FINDINGS", "SchemaFinding", "definer_findings", "search_path_names"]

SCHEMA_FINDINGS: Final = {
    "definer-search-path": "a function with its owner's rights that finds names where its caller may create",
    "definer-trigger": "a `security definer` trigger function that any role may use in a trigger",
}
"""The findings about the schema that the migrations make, each with its meaning."""


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """One problem of a function of the database that ``plainsql check`` reports."""

    name: str
    message: str
    detail: str
    hint: str
    schema: str
    function: str
    body: str
    """The body as it was written; empty if PostgreSQL keeps it parsed."""


# An extension is responsible for its functions. A schema that no role may use is out of reach.
_DEFINERS: Final = """
select
  n.nspname,
  p.proname,
  p.prosrc,
  case p.prokind when 'p' then 'procedure' else 'function' end,
  format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
  r.rolname,
  (select substr(s.setting, 13) from unnest(p.proconfig) as s (setting)
   where starts_with(s.setting, 'search_path=')),
  p.prorettype = 'pg_catalog.trigger'::regtype
    and has_function_privilege('public', p.oid, 'execute')
    and exists (
      select
      from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
      where a.privilege_type = 'USAGE' and a.grantee not in (n.nspowner, p.proowner)
    )
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
inner join pg_catalog.pg_roles as r on p.proowner = r.oid
where
  p.prosecdef
  and n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_'
  and not exists (
    select
    from pg_catalog.pg_depend as d
    where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
order by n.nspname, p.proname, p.oid
"""

# Trigger functions that a foreign key runs as the owner of a table, for a role that may change the referenced
# one: directly, or through one cascade after another. Triggers before the change do so in all versions, those
# after it from PostgreSQL 18 on.
_CASCADED: Final = """
with recursive
edges as (
  select k.confrelid, 'd' as cause, k.conrelid, case k.confdeltype when 'c' then 'd' else 'u' end as effect
  from pg_catalog.pg_constraint as k
  where k.contype = 'f' and k.confdeltype in ('c', 'n', 'd')
  union all
  select k.confrelid, 'u', k.conrelid, 'u'
  from pg_catalog.pg_constraint as k
  where k.contype = 'f' and k.confupdtype in ('c', 'n', 'd')
),

granted as (
  select c.oid as relation, c.relowner, a.grantee, a.privilege_type
  from pg_catalog.pg_class as c
  cross join lateral aclexplode(c.relacl) as a
  union all
  select c.oid, c.relowner, a.grantee, a.privilege_type
  from pg_catalog.pg_attribute as t
  inner join pg_catalog.pg_class as c on c.oid = t.attrelid
  cross join lateral aclexplode(t.attacl) as a
),

cascaded (relation, event) as (
  select e.conrelid, e.effect
  from edges as e
  inner join granted as g on g.relation = e.confrelid
  left join pg_catalog.pg_roles as r on r.oid = g.grantee
  where
    g.privilege_type = case e.cause when 'd' then 'DELETE' else 'UPDATE' end
    and g.grantee <> g.relowner
    and r.rolsuper is not true
  union
  select e.conrelid, e.effect
  from cascaded as x
  inner join edges as e on e.confrelid = x.relation and e.cause = x.event
)

select
  n.nspname,
  p.proname,
  p.prosrc,
  format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
  (array_agg(distinct r.rolname))[1],
  (array_agg(distinct format('%I.%I', s.nspname, c.relname)))[1],
  (select substr(o.setting, 13) from unnest(p.proconfig) as o (setting)
   where starts_with(o.setting, 'search_path='))
from cascaded as x
inner join pg_catalog.pg_class as c on c.oid = x.relation
inner join pg_catalog.pg_namespace as s on s.oid = c.relnamespace
inner join pg_catalog.pg_roles as r on r.oid = c.relowner
inner join pg_catalog.pg_trigger as t on t.tgrelid = x.relation
inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where
  not t.tgisinternal
  and t.tgenabled <> 'D'
  and t.tgtype & case x.event when 'd' then 8 else 16 end <> 0
  and not p.prosecdef
  and n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_'
  and not exists (
    select
    from pg_catalog.pg_depend as d
    where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
group by n.oid, p.oid
order by n.nspname, p.proname, p.oid
"""

# The role that applies migrations may do all that they do; pg_database_owner is the owner of the database.
_CREATORS: Final = """
select
  n.nspname,
  array_agg(case a.grantee when 0 then 'every role' else 'the role ' || r.rolname end order by r.rolname)
    filter (
      where
        a.privilege_type = 'CREATE'
        and (
          a.grantee = 0
          or not r.rolsuper and r.rolname not in (current_user, 'pg_database_owner')
        )
    )
from pg_catalog.pg_namespace as n
cross join lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
left join pg_catalog.pg_roles as r on r.oid = a.grantee
group by n.nspname
"""


def definer_findings(connection: Any) -> list[SchemaFinding]:
    """Return the findings about the functions of a scratch database, in the order of their names."""
    definers = connection.execute(_DEFINERS).fetchall()
    cascaded = connection.execute(_CASCADED).fetchall()
    if not definers and not cascaded:
        return []
    creators = {schema: creators or [] for schema, creators in connection.execute(_CREATORS)}
    found: list[SchemaFinding] = []
    for schema, function, body, kind, signature, owner, path, is_open in definers:
        subject_message = f"{kind} {signature} is security definer"
        place = (schema, function, body)
        found += _path_findings(subject_message, f"{kind} {signature}", path, creators, owner, place)
        if is_open:
            found.append(
                SchemaFinding(
                    "definer-trigger",
                    f"{subject_message}, and any role may make it the trigger of a table of its own",
                    "it is then given rows that never were in the tables it is meant for",
                    f"in a new migration: revoke all on {kind} {signature} from public",
                    *place,
                )
            )
    for schema, function, body, signature, owner, table, path in cascaded:
        subject_message = (
            f"function {signature} is a trigger of {table}, which a foreign key changes as its owner"
        )
        found += _path_findings(
            subject_message, f"function {signature}", path, creators, owner, (schema, function, body)
        )
    return found


def _path_findings(
    subject_message: str,
    subject: str,
    path: str | None,
    creators: Mapping[str, Sequence[str]],
    owner: str,
    place: tuple[str, str, str],
) -> Iterator[SchemaFinding]:
    reasons = list(_reasons(path, creators, owner))
    if not reasons:
        return
    worse = "its caller can run code of its own with the owner's rights"
    repaired = ", ".join(_repaired_path(path, creators, owner))
    yield SchemaFinding(
        "definer-search-path",
        f"{subject_message}, and {reasons[0]}",
        "; ".join([*reasons[1:], worse]),
        f"in a new migration: alter {subject} set search_path = {repaired}",
        *place,
    )


def _reasons(path: str | None, creators: Mapping[str, Sequence[str]], owner: str) -> Iterator[str]:
    """Yield the problems of a search_path, the worst first."""
    if path is None:
        yield "sets no search_path: names are looked up in its caller's"
        return
    names = search_path_names(path)
    if "pg_temp" not in names:
        yield "its search_path does not end in pg_temp: types and tables are looked up there first"
    elif names[-1] != "pg_temp" or names.count("pg_temp") > 1:
        yield "its search_path names pg_temp before the end: every role may create there"
    for name in dict.fromkeys(names):
        if name in ("pg_temp", "pg_catalog", ""):
            continue
        if name == "$user":
            yield "its search_path names $user, and there is no such schema: other roles may create it"
        elif name not in creators:
            yield f'its search_path names "{name}", and there is no such schema: other roles may create it'
        elif others := _other_creators(creators[name], owner):
            yield f"its search_path names {name}, in which {' and '.join(others)} may create"


def _repaired_path(path: str | None, creators: Mapping[str, Sequence[str]], owner: str) -> list[str]:
    """Return a search_path for the function, without the schemas in which other roles may create objects."""
    kept = [
        _identifier(name)
        for name in search_path_names(path or "")
        if name in creators
        and name not in ("pg_temp", "pg_catalog")
        and not _other_creators(creators[name], owner)
    ]
    return ["pg_catalog", *dict.fromkeys(kept), "pg_temp"]


def _other_creators(creators: Sequence[str], owner: str) -> list[str]:
    return [creator for creator in creators if creator != f"the role {owner}"]


_ELEMENT: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s,"]*))\s*(?:,|\Z)')


def search_path_names(path: str) -> list[str]:
    """Return the names of a ``search_path`` as PostgreSQL reads it: ``"a, b"`` is one schema."""
    names: list[str] = []
    at = 0
    while at < len(path) and (found := _ELEMENT.match(path, at)):
        names.append(found[2].lower() if found[1] is None else found[1].replace('""', '"'))
        at = found.end()
    return names


def _identifier(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
