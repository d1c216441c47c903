-- Reopen a CANCELLED conversation.
--
-- No row is returned if it is not CANCELLED, or if its buyer is blocked.
-- returns: optional Conversation
update marketplace.conversations as c
set status = 'ACTIVE'
where
  c.id = :id
  and c.status = 'CANCELLED'
  and not exists (
    select 1 from marketplace.buyers as b
    where
      b.id = c.buyer_id
      and b.is_blocked
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
