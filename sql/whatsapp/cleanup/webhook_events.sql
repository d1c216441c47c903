-- Remove the events that were worked off more than so many days ago, the oldest so many of them;
-- how many comes back. A redelivery of one that is gone would be kept as new; WhatsApp tries for 7
-- days. As webhook_events.purge, see there.
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
