-- Soft-delete a note: no read returns it until it is restored.
-- returns: count
update assistant.deletable_notes as d
set deleted_at = clock_timestamp()
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
  and d.deleted_at is null
