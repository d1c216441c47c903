-- Count the events, since a time if given.
-- returns: value
select count(*) as total
from assistant.events as e
where
  e.tenant_id = (select assistant.current_tenant())
  and e.created_at >= :since  --?
