-- Mark a message as processed, with its intent, entities and sentiment if given.
--
-- No row is returned if it was already processed: of two workers, one gets no row.
-- returns: optional Message
update marketplace.messages as m
set
  intent = :intent,        --?
  entities = :entities,    --?
  sentiment = :sentiment,  --?
  claimed_until = null,
  is_processed = true
where
  m.id = :id
  and not m.is_processed
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
