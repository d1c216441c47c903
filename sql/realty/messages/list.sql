-- List messages, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Message
-- param limit: 1..200 = 50
select
  m.id,
  m.conversation_id,
  m.type,
  m.content,
  m.created_at
from realty.messages as m
where (m.created_at, m.id) < (:after_created_at, :after_id)  --?
order by m.created_at desc, m.id desc
limit :limit
