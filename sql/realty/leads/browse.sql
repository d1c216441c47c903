-- Leads, a page at a time.
-- returns: many Lead
-- page: key
-- param order: = 'newest'
select
  l.id,
  l.name,
  l.email,
  l.phone,
  l.telegram_chat_id,
  l.created_at,
  l.updated_at
from realty.leads as l
where l.created_at >= :since     --?
order by
  l.created_at desc, l.id desc,  --? order=newest
  l.created_at asc, l.id asc,    --? order=oldest
  l.id asc
