-- List the open conversations in one state, the last active first.
--
-- For the next page, pass the last row's ``last_activity`` and ``id``.
-- returns: many Conversation
-- param limit: 1..200 = 50
select
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
from assistant.conversations as c
where
  c.tenant_id = (select assistant.current_tenant())
  and c.is_active
  and c.current_state = :state
  and (c.last_activity, c.id) < (:after_last_activity, :after_id)  --?
order by c.last_activity desc, c.id desc
limit :limit
