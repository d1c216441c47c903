-- Move an open conversation from the expected state to another.
--
-- The given context is merged into its context. No row is returned if the conversation is in
-- another state by now: of two concurrent moves, one succeeds.
-- returns: optional Conversation
update assistant.conversations as c
set
  current_state = :new_state,
  context_data = c.context_data || cast(:context_data as jsonb),  --?
  last_activity = greatest(c.last_activity, now())
where
  c.tenant_id = (select assistant.current_tenant())
  and c.id = :id
  and c.current_state = :expected_state
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
