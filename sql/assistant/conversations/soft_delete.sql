-- Hide a conversation with all that was said in it: no read shows it any more; restore
-- brings it back.
--
-- It is locked at once as strongly as it is needed: who holds a weaker lock, adding to it, and goes
-- on to change it, is not met halfway.
-- returns: count
with
doomed as (
  select d.id
  from assistant.deletable_conversations as d
  where
    d.tenant_id = (select assistant.current_tenant())
    and d.id = :id
    and d.deleted_at is null
  for update
)

update assistant.deletable_conversations as d
set deleted_at = clock_timestamp()
from doomed
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = doomed.id
