-- List the changes of one row, oldest first.
--
-- For the next page, pass the last row's ``id``.
-- returns: many AuditEntry
-- param limit: 1..200 = 50
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
  and a.table_name = :table_name
  and a.row_id = :row_id
  and a.id > :after_id  --?
order by a.id
limit :limit
