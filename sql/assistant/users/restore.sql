-- Restore a soft-deleted user, and the rows that were soft-deleted with them.
--
-- Refused if another user has the same Telegram account by now (unique violation).
-- returns: count
update assistant.deletable_users as d
set deleted_at = null
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = :id
  and d.deleted_at is not null
