-- Delete a conversation with its messages, soft-deleted or not.
--
-- The audit log keeps the deleted rows.
-- returns: count
delete from assistant.deletable_conversations as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
