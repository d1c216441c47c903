-- Save a message from a webhook.
--
-- No row is returned if it is already saved: WhatsApp delivers a webhook again that was not
-- answered in time, and there is nothing more to do.
--
-- ``sent_at`` is the time at which the sender wrote it, according to the webhook; ``created_at`` is
-- the time at which it arrived.
-- returns: optional Message
-- param contact_id: = null
-- param message_type: = 'text'
-- param content: = null
-- param media_id: = null
-- param sent_at: = null
insert into whatsapp.messages as m (
  channel_id,
  contact_id,
  whatsapp_msg_id,
  phone_number,
  message_type,
  content,
  status,
  direction,
  media_id,
  sent_at
)
values (
  :channel_id,
  :contact_id,
  :whatsapp_msg_id,
  :phone_number,
  :message_type,
  :content,
  'received',
  'inbound',
  :media_id,
  :sent_at
)
on conflict (tenant_id, whatsapp_msg_id) do nothing
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
