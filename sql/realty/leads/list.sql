-- List leads, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Lead
-- param limit: 1..200 = 50
select
  l.id,
  l.name,
  l.email,
  l.phone,
  l.telegram_chat_id,
  l.created_at,
  l.updated_at
from realty.leads as l
where (l.created_at, l.id) < (:after_created_at, :after_id)  --?
order by l.created_at desc, l.id desc
limit :limit
