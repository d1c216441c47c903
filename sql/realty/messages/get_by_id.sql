-- The message with this id.
-- returns: optional Message
select
  m.id,
  m.conversation_id,
  m.type,
  m.content,
  m.created_at
from realty.messages as m
where m.id = :id
