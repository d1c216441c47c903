-- Hide a user with all that hangs on it: events, notes, conversations and what was
-- said in them: no read shows it any more; restore brings it back.
--
-- It is locked at once as strongly as it is needed: who holds a weaker lock, adding to it, and goes
-- on to change it, is not met halfway.
-- returns: count
with
doomed as (
  select d.id
  from assistant.deletable_users as d
  where
    d.tenant_id = (select assistant.current_tenant())
    and d.id = :id
    and d.deleted_at is null
  for update
)

update assistant.deletable_users as d
set deleted_at = clock_timestamp()
from doomed
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = doomed.id
