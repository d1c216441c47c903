"""The lint of grants that no query can need, such as the rest of ``grant all``.

The privileges that queries may need are compared by ``plainsql grants``, for the role of the application.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from plainsql.analysis.findings.schema_lints import USER_RELATIONS, SchemaLint

__all__ = ["grant_lints"]

# Grants to roles that own nothing here: an owner's role is not the one that applications connect as.
_GRANTS: Final = f"""
with users_relations as (
  select c.oid, n.nspname, c.relname, c.relacl, c.relowner
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and {USER_RELATIONS}
),

owners as (
  select relowner as owner from users_relations
  union
  select p.proowner
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
)

select 'table', r.relname, format('%I.%I', r.nspname, r.relname),
  case when a.grantee = 0 then 'public' else pg_get_userbyid(a.grantee)::text end,
  array_agg(lower(a.privilege_type) order by a.privilege_type)
from users_relations as r
cross join aclexplode(r.relacl) as a
where a.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')
  and a.grantee not in (select owner from owners)
group by r.nspname, r.relname, a.grantee
union all
select 'schema', n.nspname, format('schema %I', n.nspname),
  case when a.grantee = 0 then 'public' else pg_get_userbyid(a.grantee)::text end, array['create']
from pg_catalog.pg_namespace as n
cross join aclexplode(n.nspacl) as a
where a.privilege_type = 'CREATE'
  and a.grantee <> n.nspowner
  and a.grantee not in (select owner from owners)
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by 1, 3, 4
"""


def grant_lints(connection: Any, truncated: Collection[str] = ()) -> Iterator[SchemaLint]:
    """Yield a lint for each role that may do more with a table or a schema than any query needs.

    ``truncated`` has the tables that queries truncate, as ``schema.table``.
    """
    for kind, name, shown, role, privileges in connection.execute(_GRANTS).fetchall():
        needless = [each for each in privileges if each != "truncate" or shown not in truncated]
        if not needless:
            continue
        yield SchemaLint(
            "wide-grant",
            f"{role} has {', '.join(needless)} on {shown}, which no query needs",
            "a role that may do more than its queries need does more harm with a stolen password",
            f"revoke {', '.join(needless)} on {shown} from {role}; plainsql grants prints the least grants",
            (("grant", name, role), ("grant", role))
            if kind == "table"
            else (("grant", "create", name, role),),
            name,
        )
