-- Close a conversation.
--
-- No row is returned if there is no such conversation or it is already closed.
-- returns: optional Conversation
update assistant.conversations as c
set is_active = false
where
  c.tenant_id = (select assistant.current_tenant())
  and c.id = :id
  and c.is_active
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
