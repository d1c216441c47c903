-- Insert a webhook event as it was, even a processed one: for imports.
--
-- An event that was logged before is refused (unique violation). To save a webhook, use ``log``.
-- returns: one WebhookEvent
-- param processed: = false
-- param error_message: = null
-- param retry_count: = 0
-- param next_attempt_at: = null
-- param processed_at: = null
-- param created_at: = null
insert into whatsapp.webhook_events as w (
  event_type,
  payload,
  processed,
  error_message,
  retry_count,
  next_attempt_at,
  processed_at,
  created_at
)
values (
  :event_type,
  :payload,
  :processed,
  :error_message,
  :retry_count,
  :next_attempt_at,
  :processed_at,
  coalesce(:created_at, clock_timestamp())
)
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
