-- Remove events that were worked off before a time, the oldest first, as many as the limit at once:
-- again until none is removed. A redelivery of one that is gone would be kept as new; WhatsApp
-- tries for 7 days.
--
-- A CTE and not "in (select ...)": a sub-select that locks may run once for every row, and then its
-- limit is none. An array, so that the rows are looked up by key: of a join the planner may think
-- that a limit it does not know is a tenth of the table, and read it whole.
-- returns: count
-- param limit: 1..10000 = 1000
with
old as (
  select w.id
  from whatsapp.webhook_events as w
  where
    w.tenant_id = (select whatsapp.current_tenant())
    and w.processed_at < :before
  order by w.processed_at, w.id
  limit :limit
  for update skip locked
)

delete from whatsapp.webhook_events as w
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.id = any(array(select o.id from old as o))
