-- Count the messages, since a time if given.
-- returns: value
select count(*) as total
from whatsapp.messages as m
where
  m.tenant_id = (select whatsapp.current_tenant())
  and m.created_at >= :since  --?
