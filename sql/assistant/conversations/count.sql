-- Count the conversations.
--
-- Filters, each if given: a start time, a user, a state, and whether they are open.
-- returns: value
select count(*) as total
from assistant.conversations as c
where
  c.tenant_id = (select assistant.current_tenant())
  and c.user_id = :user_id      --?
  and c.current_state = :state  --?
  and c.is_active = :is_active  --?
  and c.created_at >= :since    --?
