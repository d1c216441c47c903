-- Claim the reminders of events that are due, in order to send them: they are not due any more.
--
-- ``due_reminders`` lists the same events without claiming them.
--
-- Each of several workers gets rows of its own. If a worker dies after the claim, its reminders are
-- not sent. Changing the time of a reminder makes it due again.
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
