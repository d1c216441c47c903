-- Delete a message, soft-deleted or not.
--
-- The audit log keeps the deleted row.
-- returns: count
delete from assistant.deletable_message_history as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
