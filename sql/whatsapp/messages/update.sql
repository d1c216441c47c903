-- Change the given columns of a message, and leave the others.
--
-- To change its status, use ``update_status``.
-- returns: optional Message
update whatsapp.messages as m
set
  contact_id = :contact_id,            --?
  content = :content,                  --?
  media_id = :media_id,                --?
  next_attempt_at = :next_attempt_at,  --?
  error_message = :error_message,      --?
  updated_at = now()
where
  m.tenant_id = (select whatsapp.current_tenant())
  and m.id = :id
returning
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
