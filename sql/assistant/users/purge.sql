-- Delete a user, soft-deleted or not, with their events, notes, conversations and messages.
--
-- The audit log keeps the deleted rows.
-- returns: count
delete from assistant.deletable_users as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
