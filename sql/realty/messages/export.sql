-- List every message since a time, oldest first; meant to be streamed.
-- returns: many Message
-- allow: unbounded: an export is read as a stream, in constant memory
select
  m.id,
  m.conversation_id,
  m.type,
  m.content,
  m.created_at
from realty.messages as m
where m.created_at >= :since
order by m.created_at, m.id
