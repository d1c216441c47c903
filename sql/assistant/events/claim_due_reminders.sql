-- Take the reminders of events that are due, to send them: they are not due any more. See
-- due_reminders.
--
-- Of several workers each gets rows of its own. A worker that dies after this has sent nothing: to
-- have it sent again, give the row its time anew.
-- returns: many Event
-- param late_minutes: 0..10080 = 60
-- param limit: 1..1000 = 100
with
due as (
  select e.id
  from assistant.events as e
  where
    e.tenant_id = (select assistant.current_tenant())
    and e.status = 'pending'
    and e.reminded_at is null
    and e.remind_at <= now()
    and e.start_datetime >= now() - make_interval(mins => :late_minutes)
  order by e.remind_at, e.id
  limit :limit
  for update skip locked
)

update assistant.events as e
set reminded_at = now()
from due
where
  e.tenant_id = (select assistant.current_tenant())
  and e.id = due.id
returning
  e.id,
  e.tenant_id,
  e.user_id,
  e.title,
  e.description,
  e.start_datetime,
  e.end_datetime,
  e.location,
  e.event_type,
  e.status,
  e.reminder_minutes,
  e.recurrence_rule,
  e.external_id,
  e.extra_data,
  e.remind_at,
  e.reminded_at,
  e.created_at,
  e.created_by,
  e.updated_at,
  e.updated_by
