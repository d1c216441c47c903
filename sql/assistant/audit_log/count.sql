-- Count the logged changes, since a time if given.
-- returns: value
select count(*) as total
from assistant.audit_log as a
where
  a.tenant_id = (select assistant.current_tenant())
  and a.created_at >= :since  --?
