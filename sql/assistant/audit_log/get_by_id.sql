-- The audit log entry with this id.
-- returns: optional AuditEntry
select
  a.id,
  a.tenant_id,
  a.actor,
  a.db_role,
  a.action,
  a.table_name,
  a.row_id,
  a.old,
  a.new,
  a.created_at
from assistant.audit_log as a
where
  a.tenant_id = (select assistant.current_tenant())
  and a.id = :id
