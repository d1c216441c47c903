-- List every message since a time, oldest first; meant to be streamed.
-- returns: many Message
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
  and m.created_at >= :since
order by m.created_at, m.id
