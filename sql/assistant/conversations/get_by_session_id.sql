-- The conversation of this session.
-- returns: optional Conversation
-- allow: unproved-one: conversations_session_id_key is unique among the rows that are not deleted
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
  and c.session_id = :session_id
