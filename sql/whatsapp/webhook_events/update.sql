-- Change what is given of an event, and leave the rest: a time in next_attempt_at puts one that was
-- given up back into the queue. What was said and when stays as it was.
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
