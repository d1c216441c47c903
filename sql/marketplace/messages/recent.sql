-- List the last messages of a conversation, oldest first, as context for a model.
-- returns: many Message
-- param limit: 1..200 = 10
with
newest as (
  select
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
  from marketplace.messages as m
  where m.conversation_id = :conversation_id
  order by m.created_at desc, m.id desc
  limit :limit
)

select n.*
from newest as n
order by n.created_at, n.id
