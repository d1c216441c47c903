-- Change the given columns of an event, and leave the others.
-- returns: optional Event
update assistant.events as e
set
  title = :title,                        --?
  description = :description,            --?
  start_datetime = :start_datetime,      --?
  end_datetime = :end_datetime,          --?
  location = :location,                  --?
  event_type = :event_type,              --?
  status = :status,                      --?
  reminder_minutes = :reminder_minutes,  --?
  recurrence_rule = :recurrence_rule,    --?
  extra_data = :extra_data,              --?
  updated_at = now()
where
  e.tenant_id = (select assistant.current_tenant())
  and e.id = :id
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
