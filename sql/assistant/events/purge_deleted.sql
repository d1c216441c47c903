-- Remove for good what was deleted of the events before a time: a batch, to be repeated until it is
-- 0.
--
-- Workers may share the work: what one removes, the others leave out.
-- returns: count
-- param limit: 1..10000 = 1000
with
doomed as (
  select d.id
  from assistant.deletable_events as d
  where
    d.tenant_id = (select assistant.current_tenant())
    and d.deleted_at < :before
  order by d.deleted_at, d.id
  limit :limit
  for update skip locked
)

delete from assistant.deletable_events as d
using doomed
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = doomed.id
