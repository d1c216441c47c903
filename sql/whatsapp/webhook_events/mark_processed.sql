-- Mark a webhook event as processed.
--
-- No row is returned if it was already processed.
-- returns: optional WebhookEvent
update whatsapp.webhook_events as w
set
  processed = true,
  processed_at = now(),
  next_attempt_at = null,
  error_message = null
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.id = :id
  and not w.processed
returning
  w.id,
  w.tenant_id,
  w.event_type,
  w.payload,
  w.processed,
  w.error_message,
  w.retry_count,
  w.next_attempt_at,
  w.processed_at,
  w.created_at,
  w.updated_at
