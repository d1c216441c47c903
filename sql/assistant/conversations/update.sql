-- Change the given columns of a conversation, and leave the others.
-- returns: optional Conversation
update assistant.conversations as c
set
  session_id = :session_id,            --?
  current_state = :current_state,      --?
  context_data = :context_data,        --?
  last_message_id = :last_message_id,  --?
  is_active = :is_active,              --?
  last_activity = :last_activity,      --?
  updated_at = now()
where
  c.tenant_id = (select assistant.current_tenant())
  and c.id = :id
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
