-- Soft-delete a conversation with its messages.
--
-- No read returns it until it is restored.
--
-- Implementation: the conversation is locked first, as strongly as the update needs. A transaction
-- that holds a weaker lock, because it adds a message, and then changes the conversation would
-- otherwise deadlock with this one.
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
