-- Delete events that were processed before a time, the oldest first; return the number.
--
-- One batch: repeat it until it deletes none. A redelivery of a deleted event would be saved as a
-- new one; WhatsApp retries for 7 days.
--
-- Implementation: it has a CTE and not "in (select ...)": a sub-select that locks may run once for
-- every row, and then its limit does not hold. It has an array and not a join, so that rows are
-- found by primary key: for a join the planner may assume that a limit it does not know is a tenth
-- of the table, and read the whole table.
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
