-- Delete a webhook event.
--
-- Processed events are deleted by ``purge``.
-- returns: count
delete from whatsapp.webhook_events as w
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.id = :id
