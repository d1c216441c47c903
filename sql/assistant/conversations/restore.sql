-- Bring a deleted conversation back, and all that was deleted with it. Refused where its user is
-- deleted (foreign key violation), or another conversation has the same session by now (unique
-- violation).
-- returns: count
update assistant.deletable_conversations as d
set deleted_at = null
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
  and d.deleted_at is not null
