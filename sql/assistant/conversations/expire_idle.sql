-- Close conversations that have been idle for so many minutes, the longest idle first.
--
-- One batch: repeat it until it returns no row. Workers can run it in parallel. A conversation that
-- is being changed at this moment is locked, and skipped.
-- returns: many Conversation
-- param idle_minutes: 1.. = 30
-- param limit: 1..10000 = 500
with
idle as (
  select c.id
  from assistant.conversations as c
  where
    c.tenant_id = (select assistant.current_tenant())
    and c.is_active
    and c.last_activity < now() - make_interval(mins => :idle_minutes)
  order by c.last_activity, c.id
  limit :limit
  for update skip locked
)

update assistant.conversations as c
set is_active = false
from idle
where
  c.tenant_id = (select assistant.current_tenant())
  and c.id = idle.id
returning
  c.id,
  c.tenant_id,
  c.user_id,
  c.session_id,
  c.current_state,
  c.context_data,
  c.last_message_id,
  c.is_active,
  c.started_at,
  c.last_activity,
  c.created_at,
  c.created_by,
  c.updated_at,
  c.updated_by
