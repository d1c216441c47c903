-- Remove a note for good, whether it is deleted or not. The audit log keeps what it was.
-- returns: count
delete from assistant.deletable_notes as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
