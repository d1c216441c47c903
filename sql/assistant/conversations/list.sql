-- List conversations, newest first.
--
-- Filters, each if given: a user, a state, and whether they are open.
-- For the next page, pass the last row's ``created_at`` and ``id``.
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
  and c.user_id = :user_id                                   --?
  and c.current_state = :state                               --?
  and c.is_active = :is_active                               --?
  and (c.created_at, c.id) < (:after_created_at, :after_id)  --?
order by c.created_at desc, c.id desc
limit :limit
