-- List the messages to and from a number, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Message
-- param limit: 1..200 = 50
select
  m.id,
  m.tenant_id,
  m.channel_id,
  m.contact_id,
  m.whatsapp_msg_id,
  m.phone_number,
  m.message_type,
  m.content,
  m.status,
  m.direction,
  m.media_id,
  m.idempotency_key,
  m.retry_count,
  m.next_attempt_at,
  m.error_message,
  m.sent_at,
  m.delivered_at,
  m.read_at,
  m.created_at,
  m.updated_at
from whatsapp.messages as m
where
  m.tenant_id = (select whatsapp.current_tenant())
  and m.phone_number = :phone_number
  and m.channel_id = :channel_id                             --?
  and (m.created_at, m.id) < (:after_created_at, :after_id)  --?
order by m.created_at desc, m.id desc
limit :limit
