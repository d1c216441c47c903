-- Delete events that were processed more than so many days ago, the oldest first; return the
-- number.
--
-- One batch: repeat it until it deletes none. A redelivery of a deleted event would be saved as a
-- new one; WhatsApp retries for 7 days.
--
-- Implementation: see ``webhook_events.purge``.
-- returns: count
-- param days: 0..36500 = 30
-- param limit: 1..10000 = 1000
with
old as (
  select w.id
  from whatsapp.webhook_events as w
  where
    w.tenant_id = (select whatsapp.current_tenant())
    and w.processed_at < now() - make_interval(days => :days)
  order by w.processed_at, w.id
  limit :limit
  for update skip locked
)

delete from whatsapp.webhook_events as w
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.id = any(array(select o.id from old as o))
