-- Restore a soft-deleted conversation, and the messages that were soft-deleted with it.
--
-- Refused if its user is deleted (foreign key violation), or if another conversation has the same
-- session id by now (unique violation).
-- returns: count
update assistant.deletable_conversations as d
set deleted_at = null
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
  and d.deleted_at is not null
