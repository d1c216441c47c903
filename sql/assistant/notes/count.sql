-- Count the notes, since a time if given.
-- returns: value
select count(*) as total
from assistant.notes as n
where
  n.tenant_id = (select assistant.current_tenant())
  and n.created_at >= :since  --?
