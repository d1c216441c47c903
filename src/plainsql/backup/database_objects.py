"""The objects of a database: their names, owners, privileges and the facts that a restore must bring back."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql

__all__ = [
    "ENCODING",
    "Fact",
    "Objects",
    "read_objects",
]

Connection = psycopg.Connection[Any]
Fact = str | bool | int | None | list[str]
Objects = dict[str, dict[str, Fact]]

ENCODING: Final = sql.SQL(
    "case getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end::name"
)
"""The encoding of text that a digest is of: a target may have another one than the backup's database."""

# One row for each object: its catalog, its oid, its owner, its privileges, the letter of their default, the
# relation that it belongs to, and its facts. pg_identify_object gives the name of each, always qualified.
# Left out is what the server makes by itself: the triggers of foreign keys, what a partition has of its
# table, the rules of views. pg_dump leaves out invalid indexes.
_OBJECTS: Final = """
with objects (class, oid, owner, acl, acl_letter, relation, facts) as (
  select 'pg_namespace'::regclass, n.oid, n.nspowner, n.nspacl, 'n', null::oid, '{{}}'::jsonb
  from pg_namespace as n
  where n.oid >= 16384 or n.nspname = 'public'
  union all
  select 'pg_class'::regclass, c.oid, case when c.relkind <> 'i' and c.relkind <> 'I' then c.relowner end,
    c.relacl, case when c.relkind = 'S' then 's' when c.relkind in ('r', 'p', 'v', 'm', 'f') then 'r' end,
    i.indrelid,
    jsonb_build_object(
      'unlogged', nullif(c.relpersistence = 'u', false), 'options', c.reloptions,
      'row security', nullif(c.relrowsecurity, false),
      'forced row security', nullif(c.relforcerowsecurity, false),
      'partition', nullif(pg_get_expr(c.relpartbound, c.oid), ''),
      'replica identity', nullif(nullif(c.relreplident, 'd'), 'n'),
      'populated', case when c.relkind = 'm' then c.relispopulated end,
      'increment', s.seqincrement, 'start', s.seqstart, 'minimum', s.seqmin, 'maximum', s.seqmax,
      'cycle', s.seqcycle
    )
  from pg_class as c
  left join pg_index as i on i.indexrelid = c.oid
  left join pg_sequence as s on s.seqrelid = c.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I', 'c')
    and (i.indexrelid is null or i.indisvalid or c.relkind = 'I')
  union all
  select 'pg_proc'::regclass, p.oid, p.proowner, p.proacl, 'f', null,
    jsonb_build_object(
      'source', left(encode(sha256(convert_to(p.prosrc, {encoding})), 'hex'), 16),
      'security definer', p.prosecdef, 'volatility', p.provolatile, 'strict', p.proisstrict,
      'settings', p.proconfig
    )
  from pg_proc as p
  union all
  select 'pg_type'::regclass, t.oid, t.typowner, t.typacl, 'T', null,
    jsonb_build_object(
      'kind', t.typtype, 'not null', nullif(t.typnotnull, false),
      'labels', (
        select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid
      )
    )
  from pg_type as t
  where t.typtype in ('d', 'e', 'r')
    or t.typtype = 'b' and t.typelem = 0
    or t.typtype = 'c' and (select c.relkind from pg_class as c where c.oid = t.typrelid) = 'c'
  union all
  select 'pg_constraint'::regclass, o.oid, null, null, null, nullif(o.conrelid, 0),
    jsonb_build_object('kind', o.contype, 'validated', o.convalidated, 'deferrable', o.condeferrable)
  from pg_constraint as o
  where o.contype in ('c', 'f', 'p', 'u', 'x') and o.conparentid = 0
  union all
  select 'pg_attrdef'::regclass, f.oid, null, null, null, f.adrelid, '{{}}'
  from pg_attrdef as f
  union all
  select 'pg_trigger'::regclass, g.oid, null, null, null, g.tgrelid,
    jsonb_build_object('enabled', g.tgenabled)
  from pg_trigger as g
  where not g.tgisinternal and g.tgparentid = 0
  union all
  select 'pg_policy'::regclass, p.oid, null, null, null, p.polrelid,
    jsonb_build_object(
      'command', p.polcmd, 'permissive', p.polpermissive,
      'roles', (
        select jsonb_agg(
          case r.oid when 0 then 'public' else pg_get_userbyid(r.oid) end
          order by r.oid = 0, pg_get_userbyid(r.oid) collate "C"
        )
        from unnest(p.polroles) as r (oid)
      )
    )
  from pg_policy as p
  union all
  select 'pg_rewrite'::regclass, w.oid, null, null, null, w.ev_class,
    jsonb_build_object('enabled', w.ev_enabled)
  from pg_rewrite as w
  where w.rulename <> '_RETURN'
  union all
  select 'pg_extension'::regclass, e.oid, null, null, null, null,
    jsonb_build_object('version', e.extversion, 'schema', e.extnamespace::regnamespace)
  from pg_extension as e
  union all
  select 'pg_event_trigger'::regclass, v.oid, v.evtowner, null, null, null,
    jsonb_build_object('event', v.evtevent, 'enabled', v.evtenabled, 'tags', v.evttags)
  from pg_event_trigger as v
  union all
  select 'pg_publication'::regclass, p.oid, p.pubowner, null, null, null,
    jsonb_build_object(
      'all tables', p.puballtables, 'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete,
      'truncate', p.pubtruncate, 'via root', p.pubviaroot
    )
  from pg_publication as p
  union all
  select 'pg_publication_rel'::regclass, r.oid, null, null, null, r.prrelid, '{{}}'
  from pg_publication_rel as r
  union all
  select 'pg_subscription'::regclass, b.oid, b.subowner, null, null, null,
    jsonb_build_object('publications', b.subpublications, 'slot', b.subslotname)
  from pg_subscription as b
  where b.subdbid = (select d.oid from pg_database as d where d.datname = current_database())
  union all
  select 'pg_foreign_data_wrapper'::regclass, f.oid, f.fdwowner, f.fdwacl, 'F', null, '{{}}'
  from pg_foreign_data_wrapper as f
  union all
  select 'pg_foreign_server'::regclass, s.oid, s.srvowner, s.srvacl, 'S', null, '{{}}'
  from pg_foreign_server as s
  union all
  select 'pg_user_mapping'::regclass, m.umid, null, null, null, null, '{{}}'
  from pg_user_mappings as m
  union all
  select 'pg_default_acl'::regclass, a.oid, a.defaclrole, a.defaclacl, null, null, '{{}}'
  from pg_default_acl as a
  union all
  select 'pg_statistic_ext'::regclass, x.oid, x.stxowner, null, null, x.stxrelid, '{{}}'
  from pg_statistic_ext as x
  union all
  select 'pg_collation'::regclass, l.oid, l.collowner, null, null, null, '{{}}'
  from pg_collation as l
  union all
  select 'pg_conversion'::regclass, v.oid, v.conowner, null, null, null, '{{}}'
  from pg_conversion as v
  union all
  select 'pg_cast'::regclass, s.oid, null, null, null, null, '{{}}'
  from pg_cast as s
  union all
  select 'pg_operator'::regclass, p.oid, p.oprowner, null, null, null, '{{}}'
  from pg_operator as p
  union all
  select 'pg_opclass'::regclass, p.oid, p.opcowner, null, null, null, '{{}}'
  from pg_opclass as p
  union all
  select 'pg_opfamily'::regclass, p.oid, p.opfowner, null, null, null, '{{}}'
  from pg_opfamily as p
  union all
  select 'pg_language'::regclass, l.oid, l.lanowner, l.lanacl, 'l', null, '{{}}'
  from pg_language as l
  union all
  select 'pg_am'::regclass, m.oid, null, null, null, null, '{{}}'
  from pg_am as m
  union all
  select 'pg_transform'::regclass, t.oid, null, null, null, null, '{{}}'
  from pg_transform as t
  union all
  select 'pg_ts_config'::regclass, t.oid, t.cfgowner, null, null, null, '{{}}'
  from pg_ts_config as t
  union all
  select 'pg_ts_dict'::regclass, t.oid, t.dictowner, null, null, null, '{{}}'
  from pg_ts_dict as t
  union all
  select 'pg_ts_parser'::regclass, t.oid, null, null, null, null, '{{}}'
  from pg_ts_parser as t
  union all
  select 'pg_ts_template'::regclass, t.oid, null, null, null, null, '{{}}'
  from pg_ts_template as t
  {more}
)
select i.type || ' ' || i.identity,
  jsonb_strip_nulls(
    o.facts || jsonb_build_object(
      'owner', case when o.owner is not null then pg_get_userbyid(o.owner) end,
      'privileges', held.privileges,
      'comment', case
        when o.class <> 'pg_extension'::regclass
          then left(encode(sha256(convert_to(d.description, {encoding})), 'hex'), 16)
      end
    )
  )
from objects as o
cross join lateral pg_identify_object(o.class, o.oid, 0) as i
left join pg_description as d on d.classoid = o.class and d.objoid = o.oid and d.objsubid = 0
left join lateral (
  select jsonb_agg(
    format('%s: %s%s', case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end,
      lower(a.privilege_type), case when a.is_grantable then ' with grant option' else '' end)
    order by a.grantee = 0, pg_get_userbyid(a.grantee) collate "C", a.privilege_type collate "C"
  ) as privileges
  from aclexplode(coalesce(o.acl, acldefault(o.acl_letter::"char", o.owner))) as a
  -- new in PostgreSQL 17, where every owner has it
  where not (a.grantee = o.owner and a.privilege_type = 'MAINTAIN')
) as held on o.acl is not null or o.acl_letter is not null
where (o.oid >= 16384 or o.class = 'pg_namespace'::regclass)
  and i.identity is not null
  and coalesce(i.schema, '') !~ '^pg_'
  and coalesce(i.schema, '') <> 'information_schema'
  and i.identity !~ '(^| on )pg_(toast|temp)'
  and not exists (
    select from pg_depend as d where d.deptype = 'e' and d.classid = o.class and d.objid = o.oid
  )
  and not exists (
    select from pg_depend as d
    where d.deptype = 'e' and d.classid = 'pg_class'::regclass and d.objid = o.relation
  )
"""

_PUBLISHED_SCHEMAS: Final = sql.SQL(
    "union all select 'pg_publication_namespace'::regclass, n.oid, null, null, null, null, '{}'"
    " from pg_publication_namespace as n"
)
_PUBLISHED_SCHEMAS_VERSION: Final = 15_00_00

_COLUMNS: Final = """
select 'column ' || format('%I.%I.%I', n.nspname, c.relname, a.attname),
  jsonb_strip_nulls(jsonb_build_object(
    'type', format_type(a.atttypid, a.atttypmod), 'not null', nullif(a.attnotnull, false),
    'identity', nullif(a.attidentity, ''), 'generated', nullif(a.attgenerated, ''),
    'collation', nullif(a.attcollation, t.typcollation)::regcollation,
    'privileges', (
      select jsonb_agg(
        format('%s: %s%s', case x.grantee when 0 then 'public' else pg_get_userbyid(x.grantee) end,
          lower(x.privilege_type), case when x.is_grantable then ' with grant option' else '' end)
        order by x.grantee = 0, pg_get_userbyid(x.grantee) collate "C", x.privilege_type collate "C"
      )
      from aclexplode(a.attacl) as x
    ),
    'comment', left(encode(sha256(convert_to(d.description, {encoding})), 'hex'), 16)
  ))
from pg_attribute as a
inner join pg_class as c on c.oid = a.attrelid
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_type as t on t.oid = a.atttypid
left join pg_description as d
  on d.classoid = 'pg_class'::regclass and d.objoid = c.oid and d.objsubid = a.attnum
where a.attnum > 0
  and not a.attisdropped
  and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
  and c.oid >= 16384
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select from pg_depend as e
    where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e'
  )
"""


def read_objects(connection: Connection) -> Objects:
    """Return the facts of all objects that a dump has, by their kinds and names.

    The settings of the session are those of ``fix_settings``.
    """
    has_schemas = connection.info.server_version >= _PUBLISHED_SCHEMAS_VERSION
    more = _PUBLISHED_SCHEMAS if has_schemas else sql.SQL("")
    objects = connection.execute(sql.SQL(_OBJECTS).format(encoding=ENCODING, more=more)).fetchall()
    columns = connection.execute(sql.SQL(_COLUMNS).format(encoding=ENCODING)).fetchall()
    return dict(sorted([*objects, *columns]))
