-- Count the messages, since a time if given.
-- returns: value
select count(*) as total
from assistant.message_history as m
where
  m.tenant_id = (select assistant.current_tenant())
  and m.created_at >= :since  --?
