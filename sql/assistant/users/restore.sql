-- Bring a deleted user back, and all that was deleted with it. Refused where another user has the
-- same Telegram account by now (unique violation).
-- returns: count
update assistant.deletable_users as d
set deleted_at = null
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
  and d.deleted_at is not null
