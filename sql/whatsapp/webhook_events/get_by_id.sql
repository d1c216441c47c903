-- The webhook event with this id.
-- returns: optional WebhookEvent
select
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
from whatsapp.webhook_events as w
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.id = :id
