-- Comments, wherever they hang, but for those on what extensions brought.
select
  format('comment on %s %s', i.type, i.identity) as object,
  c.description as definition
from pg_description as c
cross join lateral pg_identify_object(c.classoid, c.objoid, c.objsubid) as i
where
  c.objoid >= 16384
  and not exists (
    select 1
    from pg_depend as d
    where d.classid = c.classoid and d.objid = c.objoid and d.deptype = 'e'
  )
  and c.classoid <> 'pg_extension'::regclass
