-- Save the payload of a webhook, before anything else is done.
--
-- No row is returned if it is already saved: a redelivery is identical but for the order of its
-- keys, and there is nothing more to do.
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
