-- List the events that begin soon, soonest first, of one user if given.
--
-- For the next page, pass the last row's ``start_datetime`` and ``id``.
-- returns: many Event
-- param within_hours: 1..8784 = 24
-- param limit: 1..200 = 50
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
  and e.start_datetime >= now()
  and e.start_datetime < now() + make_interval(hours => :within_hours)
  and e.user_id = :user_id                                           --?
  and (e.start_datetime, e.id) > (:after_start_datetime, :after_id)  --?
order by e.start_datetime, e.id
limit :limit
