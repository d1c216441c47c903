-- Indexes, also those of constraints; an invalid one is said to be so.
select
  format('index %I.%I', n.nspname, c.relname) as object,
  concat_ws(
    e'\n',
    pg_get_indexdef(c.oid),
    case when not i.indisvalid then 'invalid' end,
    case when i.indisclustered then 'clustered' end,
    case when i.indisreplident then 'replica identity' end
  ) as definition
from pg_index as i
inner join pg_class as c on i.indexrelid = c.oid
inner join pg_class as t on i.indrelid = t.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where
  n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = t.oid and d.deptype = 'e'
  )
