-- List the last messages of a conversation, oldest first, as context for a model.
-- returns: many Message
-- param limit: 1..200 = 5
-- cache: 5m
with
newest as (
  select
    m.id,
    m.conversation_id,
    m.type,
    m.content,
    m.created_at
  from realty.messages as m
  where m.conversation_id = :conversation_id
  order by m.created_at desc, m.id desc
  limit :limit
)

select n.*
from newest as n
order by n.created_at, n.id
