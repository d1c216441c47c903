-- Cancel an ACTIVE conversation; a product reserved for its buyer is AVAILABLE again.
--
-- No row is returned if it is not ACTIVE.
-- returns: optional Conversation
with
cancelled as (
  update marketplace.conversations as c
  set status = 'CANCELLED'
  where
    c.id = :id
    and c.status = 'ACTIVE'
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
),

freed as (
  update marketplace.products as p
  set status = 'AVAILABLE'
  from cancelled as d
  where
    p.id = d.product_id
    and p.status = 'RESERVED'
    and p.reserved_for_id = d.buyer_id
)

select d.*
from cancelled as d
