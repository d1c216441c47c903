-- Views and materialized views.
select
  format(
    '%s %I.%I',
    case c.relkind when 'm' then 'materialized view' else 'view' end,
    n.nspname,
    c.relname
  ) as object,
  concat_ws(
    e'\n',
    'owner ' || c.relowner::regrole,
    'options ' || c.reloptions::text,
    pg_get_viewdef(c.oid),
    (
      select 'grants ' || coalesce(string_agg(g::text, ' ' order by g::text), 'nothing')
      from unnest(coalesce(c.relacl, acldefault('r', c.relowner))) as g
    )
  ) as definition
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
  c.relkind in ('v', 'm')
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
