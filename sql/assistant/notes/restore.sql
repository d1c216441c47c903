-- Restore a soft-deleted note.
--
-- Refused if its user is deleted (foreign key violation).
-- returns: count
update assistant.deletable_notes as d
set deleted_at = null
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
  and d.deleted_at is not null
