-- List the events whose reminder is due and was not sent, the longest due first.
--
-- An event that began longer ago than ``late_minutes`` is skipped: a reminder that late is of no
-- use.
--
-- To send the reminders, use ``claim_due_reminders``.
-- returns: many Event
-- param late_minutes: 0..10080 = 60
-- param limit: 1..1000 = 100
select
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
from assistant.events as e
where
  e.tenant_id = (select assistant.current_tenant())
  and e.status = 'pending'
  and e.reminded_at is null
  and e.remind_at <= now()
  and e.start_datetime >= now() - make_interval(mins => :late_minutes)
order by e.remind_at, e.id
limit :limit
