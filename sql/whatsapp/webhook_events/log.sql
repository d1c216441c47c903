-- Keep what WhatsApp has told us, before anything else is done. Nothing comes back where it was
-- kept before: a redelivery is the same to the letter, but for the order of its keys, and there is
-- nothing more to do.
-- returns: optional WebhookEvent
insert into whatsapp.webhook_events as w (
  event_type,
  payload
)
values (
  :event_type,
  :payload
)
on conflict (tenant_id, digest, event_type) do nothing
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
