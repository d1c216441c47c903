-- List all messages of a conversation, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Message
-- param limit: 1..200 = 50
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
where
  m.conversation_id = :conversation_id
  and (m.created_at, m.id) < (:after_created_at, :after_id)  --?
order by m.created_at desc, m.id desc
limit :limit
