-- The schemas, but for those of PostgreSQL and of extensions.
select
  format('schema %I', n.nspname) as object,
  concat_ws(
    e'\n',
    'owner ' || n.nspowner::regrole,
    (
      select 'grants ' || coalesce(string_agg(g::text, ' ' order by g::text), 'nothing')
      from unnest(coalesce(n.nspacl, acldefault('n', n.nspowner))) as g
    )
  ) as definition
from pg_namespace as n
where
  n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e'
  )
