-- Soft-delete a user with their events, notes, conversations and messages.
--
-- No read returns them until the user is restored.
--
-- Implementation: the user is locked first, as strongly as the update needs. A transaction that
-- holds a weaker lock, because it adds a row of the user, and then changes the user would otherwise
-- deadlock with this one.
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
