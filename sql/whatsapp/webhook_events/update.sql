-- Change the given columns of a webhook event, and leave the others.
--
-- A time in ``next_attempt_at`` puts an event that was given up back into the queue. Its payload
-- and its time of arrival cannot be changed.
-- returns: optional WebhookEvent
update whatsapp.webhook_events as w
set
  error_message = :error_message,      --?
  retry_count = :retry_count,          --?
  next_attempt_at = :next_attempt_at,  --?
  updated_at = now()
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.id = :id
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
