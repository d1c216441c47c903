-- Sequences, with the column that owns each; without their current values.
select
  format('sequence %I.%I', n.nspname, c.relname) as object,
  concat_ws(
    e'\n',
    'owner ' || c.relowner::regrole,
    format(
      'as %s start %s increment %s from %s to %s cache %s%s',
      format_type(s.seqtypid, null), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
      case when s.seqcycle then ' cycle' end
    ),
    (
      select format('of %s.%I', d.refobjid::regclass, a.attname)
      from pg_depend as d
      inner join pg_attribute as a on d.refobjid = a.attrelid and d.refobjsubid = a.attnum
      where
        d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
        and d.refclassid = 'pg_class'::regclass
    ),
    (
      select 'grants ' || coalesce(string_agg(g::text, ' ' order by g::text), 'nothing')
      from unnest(coalesce(c.relacl, acldefault('s', c.relowner))) as g
    )
  ) as definition
from pg_sequence as s
inner join pg_class as c on s.seqrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where
  n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
