-- Change the given columns of a message, and leave the others.
-- returns: optional Message
update marketplace.messages as m
set
  content = :content,            --?
  message_type = :message_type,  --?
  intent = :intent,              --?
  entities = :entities,          --?
  sentiment = :sentiment,        --?
  is_read = :is_read,            --?
  is_processed = :is_processed,  --?
  updated_at = m.updated_at
where m.id = :id
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
