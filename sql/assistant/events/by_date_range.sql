-- List a user's events in a time range, earliest first, of one status if given.
--
-- The range includes its start and excludes its end. An event that began before the range and has
-- not ended is included. For the next page, pass the last row's ``start_datetime`` and ``id``.
--
-- Implementation: there are two arms, so that each can use an index. An event of a day at most
-- began no earlier than a day before the range; the few longer ones have an index on their end.
-- returns: many Event
-- param limit: 1..1000 = 200
with
short as (
  select e.id
  from assistant.events as e
  where
    e.tenant_id = (select assistant.current_tenant())
    and e.user_id = :user_id
    and e.start_datetime >= cast(:since as timestamptz) - interval '1 day'
    and e.start_datetime < :until
    and (e.start_datetime >= :since or e.end_datetime > :since)
    and (e.end_datetime - e.start_datetime > interval '1 day') is not true
    and e.status = :status                                             --?
    and (e.start_datetime, e.id) > (:after_start_datetime, :after_id)  --?
  order by e.start_datetime, e.id
  limit :limit
),

long as (
  select e.id
  from assistant.events as e
  where
    e.tenant_id = (select assistant.current_tenant())
    and e.user_id = :user_id
    and e.end_datetime > :since
    and e.start_datetime < :until
    and e.end_datetime - e.start_datetime > interval '1 day'
    and e.status = :status                                             --?
    and (e.start_datetime, e.id) > (:after_start_datetime, :after_id)  --?
)

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
  and e.id in (
    select s.id
    from short as s
    union all
    select l.id
    from long as l
  )
order by e.start_datetime, e.id
limit :limit
