-- Change the given columns of a conversation, and leave the others.
--
-- They are its offer, the agreed place and time, and the detected intent and sentiment.
-- ``complete``, ``cancel`` and ``reopen`` change its status; ``cleanup.conversations`` archives it.
-- returns: optional Conversation
update marketplace.conversations as c
set
  negotiated_price = :negotiated_price,  --?
  meeting_location = :meeting_location,  --?
  meeting_time = :meeting_time,          --?
  intent_detected = :intent_detected,    --?
  sentiment_score = :sentiment_score,    --?
  updated_at = c.updated_at
where c.id = :id
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
