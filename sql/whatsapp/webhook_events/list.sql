-- List webhook events, newest first, of one type if given.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many WebhookEvent
-- param limit: 1..200 = 50
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
  and w.event_type = :event_type                             --?
  and (w.created_at, w.id) < (:after_created_at, :after_id)  --?
order by w.created_at desc, w.id desc
limit :limit
