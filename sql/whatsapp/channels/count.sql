-- Count the channels, since a time if given.
-- returns: value
select count(*) as total
from whatsapp.channels as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.created_at >= :since  --?
