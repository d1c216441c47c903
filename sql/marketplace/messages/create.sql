-- Insert a message without updating its conversation's message count and last message time: for
-- imports.
--
-- To continue a conversation, use ``append``.
-- returns: one Message
-- param wallapop_message_id: = null
-- param buyer_id: = null
-- param message_type: = 'USER_MESSAGE'
-- param intent: = null
-- param entities: = null
-- param sentiment: = null
-- param is_read: = true
-- param is_processed: = true
-- param created_at: = null
insert into marketplace.messages as m (
  wallapop_message_id,
  conversation_id,
  buyer_id,
  content,
  message_type,
  intent,
  entities,
  sentiment,
  is_read,
  is_processed,
  created_at
)
values (
  :wallapop_message_id,
  :conversation_id,
  :buyer_id,
  :content,
  :message_type,
  :intent,
  :entities,
  :sentiment,
  :is_read,
  :is_processed,
  coalesce(:created_at, clock_timestamp())
)
returning
  m.id,
  m.wallapop_message_id,
  m.conversation_id,
  m.buyer_id,
  m.content,
  m.message_type,
  m.intent,
  m.entities,
  m.sentiment,
  m.is_read,
  m.is_processed,
  m.claimed_until,
  m.claims,
  m.created_at,
  m.updated_at
