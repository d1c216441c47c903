-- Insert a message as it was, of any status and time: for imports.
--
-- To continue a conversation, use ``save_inbound`` and ``save_outbound``.
-- returns: one Message
-- param contact_id: = null
-- param whatsapp_msg_id: = null
-- param message_type: = 'text'
-- param content: = null
-- param media_id: = null
-- param idempotency_key: = null
-- param retry_count: = 0
-- param next_attempt_at: = null
-- param error_message: = null
-- param sent_at: = null
-- param delivered_at: = null
-- param read_at: = null
-- param created_at: = null
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
  idempotency_key,
  retry_count,
  next_attempt_at,
  error_message,
  sent_at,
  delivered_at,
  read_at,
  created_at
)
values (
  :channel_id,
  :contact_id,
  :whatsapp_msg_id,
  :phone_number,
  :message_type,
  :content,
  :status,
  :direction,
  :media_id,
  :idempotency_key,
  :retry_count,
  :next_attempt_at,
  :error_message,
  :sent_at,
  :delivered_at,
  :read_at,
  coalesce(:created_at, clock_timestamp())
)
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
