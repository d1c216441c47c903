-- List a user's events, the latest start first, of one status if given.
--
-- For the next page, pass the last row's ``start_datetime`` and ``id``.
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
  and e.user_id = :user_id
  and e.status = :status                                              --?
  and (e.start_datetime, e.id) < (:after_start_datetime, :after_id)  --?
order by e.start_datetime desc, e.id desc
limit :limit
