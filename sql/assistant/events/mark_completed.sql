-- Mark an event as completed.
--
-- No row is returned if there is no such event or it is not pending.
-- returns: optional Event
update assistant.events as e
set status = 'completed'
where
  e.tenant_id = (select assistant.current_tenant())
  and e.id = :id
  and e.status = 'pending'
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
