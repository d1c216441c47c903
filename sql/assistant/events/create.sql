-- Add an event to a user's calendar.
--
-- A user that does not exist or is deleted is refused (foreign key violation).
-- returns: one Event
-- param description: = null
-- param end_datetime: = null
-- param location: = null
-- param event_type: = null
-- param status: = 'pending'
-- param reminder_minutes: = null
-- param recurrence_rule: = null
-- param external_id: = null
-- param extra_data: = null
insert into assistant.events as e (
  user_id,
  title,
  description,
  start_datetime,
  end_datetime,
  location,
  event_type,
  status,
  reminder_minutes,
  recurrence_rule,
  external_id,
  extra_data
)
values (
  :user_id,
  :title,
  :description,
  :start_datetime,
  :end_datetime,
  :location,
  :event_type,
  :status,
  :reminder_minutes,
  :recurrence_rule,
  :external_id,
  coalesce(cast(:extra_data as jsonb), '{}')
)
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
