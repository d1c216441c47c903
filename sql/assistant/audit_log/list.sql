-- List the logged changes, newest first.
--
-- Filters, each if given: the table, the user who made the change, the kind of change, and a start
-- time. For the next page, pass the last row's ``created_at`` and ``id``.
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
  and a.table_name = :table_name                             --?
  and a.actor = :actor                                       --?
  and a.action = :action                                     --?
  and a.created_at >= :since                                 --?
  and (a.created_at, a.id) < (:after_created_at, :after_id)  --?
order by a.created_at desc, a.id desc
limit :limit
