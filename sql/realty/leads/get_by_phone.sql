-- The lead with this phone; the newest one if several share it.
-- returns: optional Lead
select
  l.id,
  l.name,
  l.email,
  l.phone,
  l.telegram_chat_id,
  l.created_at,
  l.updated_at
from realty.leads as l
where l.phone = :phone
order by l.created_at desc, l.id desc
limit 1
