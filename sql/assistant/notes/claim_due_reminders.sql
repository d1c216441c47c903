-- Claim the reminders of notes that are due, in order to send them: they are not due any more.
--
-- Each of several workers gets rows of its own. If a worker dies after the claim, its reminders are
-- not sent. Changing the time of a reminder makes it due again.
-- returns: many Note
-- param limit: 1..1000 = 100
with
due as (
  select n.id
  from assistant.notes as n
  where
    n.tenant_id = (select assistant.current_tenant())
    and n.reminded_at is null
    and n.reminder_datetime <= now()
  order by n.reminder_datetime, n.id
  limit :limit
  for update skip locked
)

update assistant.notes as n
set reminded_at = now()
from due
where
  n.tenant_id = (select assistant.current_tenant())
  and n.id = due.id
returning
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
