-- Start a conversation.
--
-- A session id that another conversation has is refused (unique violation).
-- returns: one Conversation
-- param current_state: = 'idle'
-- param context_data: = null
insert into assistant.conversations as c (
  user_id,
  session_id,
  current_state,
  context_data
)
values (
  :user_id,
  :session_id,
  :current_state,
  coalesce(cast(:context_data as jsonb), '{}')
)
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
