-- Remove a user with all that hangs on it: events, notes, conversations and what was
-- said in them for good, whether it is deleted or not. The audit log keeps what it was.
-- returns: count
delete from assistant.deletable_users as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
