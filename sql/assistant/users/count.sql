-- Count the users, since a time if given.
-- returns: value
select count(*) as total
from assistant.users as u
where
  u.tenant_id = (select assistant.current_tenant())
  and u.created_at >= :since  --?
