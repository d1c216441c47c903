-- Triggers that someone wrote, and event triggers.
select
  format('trigger %I on %s', g.tgname, g.tgrelid::regclass) as object,
  concat_ws(e'\n', pg_get_triggerdef(g.oid), 'enabled ' || nullif(g.tgenabled, 'O')::text)
    as definition
from pg_trigger as g
where not g.tgisinternal
union all
select
  format('event trigger %I', e.evtname) as object,
  format(
    'on %s %s execute %s, enabled %s', e.evtevent, e.evttags, e.evtfoid::regprocedure, e.evtenabled
  ) as definition
from pg_event_trigger as e
where not exists (
  select 1
  from pg_depend as d
  where d.classid = 'pg_event_trigger'::regclass and d.objid = e.oid and d.deptype = 'e'
)
