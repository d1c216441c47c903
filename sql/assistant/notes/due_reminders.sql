-- List the notes whose reminder is due and was not sent, the longest due first.
--
-- To send the reminders, use ``claim_due_reminders``.
-- returns: many Note
-- param limit: 1..1000 = 100
select
  n.id,
  n.tenant_id,
  n.user_id,
  n.title,
  n.content,
  n.category,
  n.tags,
  n.priority,
  n.is_pinned,
  n.reminder_datetime,
  n.language_code,
  n.extra_data,
  n.reminded_at,
  n.created_at,
  n.created_by,
  n.updated_at,
  n.updated_by
from assistant.notes as n
where
  n.tenant_id = (select assistant.current_tenant())
  and n.reminded_at is null
  and n.reminder_datetime <= now()
order by n.reminder_datetime, n.id
limit :limit
