-- Count the contacts, since a time if given.
-- returns: value
select count(*) as total
from whatsapp.contacts as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.created_at >= :since  --?
