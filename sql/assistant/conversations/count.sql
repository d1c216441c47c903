-- Count the conversations, since a time if given.
-- returns: value
select count(*) as total
from assistant.conversations as c
where
  c.tenant_id = (select assistant.current_tenant())
  and c.created_at >= :since  --?
