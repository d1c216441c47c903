-- Insert an event of another calendar, or update it if its ``external_id`` is known.
--
-- Its status and its reminder stay as they are.
-- returns: one Event
-- param description: = null
-- param end_datetime: = null
-- param location: = null
-- param event_type: = null
-- param recurrence_rule: = null
insert into assistant.events as e (
  user_id,
  external_id,
  title,
  description,
  start_datetime,
  end_datetime,
  location,
  event_type,
  recurrence_rule
)
values (
  :user_id,
  :external_id,
  :title,
  :description,
  :start_datetime,
  :end_datetime,
  :location,
  :event_type,
  :recurrence_rule
)
on conflict (tenant_id, user_id, external_id)
where deleted_at is null and external_id is not null
do update
  set
    title = excluded.title,
    description = excluded.description,
    start_datetime = excluded.start_datetime,
    end_datetime = excluded.end_datetime,
    location = excluded.location,
    event_type = excluded.event_type,
    recurrence_rule = excluded.recurrence_rule
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
