-- Remove events that were worked off before a time, the oldest first, as many as the limit at once:
-- again until none is removed. A redelivery of one that is gone would be kept as new; WhatsApp
-- tries for 7 days.
-- returns: count
-- param limit: 1..10000 = 1000
delete from whatsapp.webhook_events as w
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.id in (
    select old.id
    from whatsapp.webhook_events as old
    where
      old.tenant_id = (select whatsapp.current_tenant())
      and old.processed_at < :before
    order by old.processed_at, old.id
    limit :limit
    for update skip locked
  )
