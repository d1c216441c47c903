-- List every message since a time, oldest first; meant to be streamed.
-- returns: many Message
-- allow: unbounded: an export is read as a stream, in constant memory
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
where m.created_at >= :since
order by m.created_at, m.id
