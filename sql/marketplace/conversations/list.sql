-- List conversations, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Conversation
-- param limit: 1..200 = 50
select
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
from marketplace.conversations as c
where (c.created_at, c.id) < (:after_created_at, :after_id)  --?
order by c.created_at desc, c.id desc
limit :limit
