-- List the ACTIVE conversations, the last changed first.
--
-- For the next page, pass the last row's ``updated_at`` and ``id``. A conversation that changes in
-- the meantime moves to the first page.
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
where
  c.status = 'ACTIVE'
  and (c.updated_at, c.id) < (:after_updated_at, :after_id)  --?
order by c.updated_at desc, c.id desc
limit :limit
