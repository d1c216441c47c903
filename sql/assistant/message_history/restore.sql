-- Restore a soft-deleted message.
--
-- Refused if its conversation is deleted (foreign key violation).
-- returns: count
update assistant.deletable_message_history as d
set deleted_at = null
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
  and d.deleted_at is not null
