-- List events, newest first.
--
-- Filters, each if given: a user, a status and an event type.
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Event
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
  and e.user_id = :user_id                                   --?
  and e.status = :status                                     --?
  and e.event_type = :event_type                             --?
  and (e.created_at, e.id) < (:after_created_at, :after_id)  --?
order by e.created_at desc, e.id desc
limit :limit
