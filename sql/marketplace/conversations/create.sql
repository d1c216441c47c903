-- Insert a conversation as it is: for imports.
--
-- The bot starts its conversations with ``start``.
-- returns: one Conversation
-- param status: = 'ACTIVE'
-- param negotiated_price: = null
-- param completed_at: = null
insert into marketplace.conversations as c (
  wallapop_chat_id,
  product_id,
  buyer_id,
  status,
  negotiated_price,
  completed_at
)
values (
  :wallapop_chat_id,
  :product_id,
  :buyer_id,
  :status,
  :negotiated_price,
  :completed_at
)
returning
  -- begin fragment conversation_columns
  c.id,
  c.wallapop_chat_id,
  c.product_id,
  c.buyer_id,
  c.status,
  c.message_count,
  c.last_message_at,
  c.negotiated_price,
  c.meeting_location,
  c.meeting_time,
  c.intent_detected,
  c.sentiment_score,
  c.completed_at,
  c.created_at,
  c.updated_at
  -- end fragment conversation_columns
