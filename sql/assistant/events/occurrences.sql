-- List a user's calendar in a time range, earliest first, with each occurrence of a recurring
-- event.
--
-- A row has the begin and end of the occurrence, and the event. The range includes its start and
-- excludes its end. For the next page, pass the last row's ``begins_at`` and ``id``.
--
-- Implementation: recurring events are few, and are expanded one by one. Of the others, those are
-- read that begin in the range, or that began before it and have not ended: see ``by_date_range``.
-- returns: many Occurrence
-- param limit: 1..1000 = 200
-- allow: partial-order: an event has one occurrence at a time
-- column begins_at: not null
with
own as (
  select e.id
  from assistant.events as e
  where
    e.tenant_id = (select assistant.current_tenant())
    and e.user_id = :user_id
    and e.recurrence_rule is null
    and e.start_datetime >= cast(:since as timestamptz) - interval '1 day'
    and e.start_datetime < :until
  union
  select e.id
  from assistant.events as e
  where
    e.tenant_id = (select assistant.current_tenant())
    and e.user_id = :user_id
    and e.recurrence_rule is null
    and e.end_datetime > :since
    and e.start_datetime < :until
    and e.end_datetime - e.start_datetime > interval '1 day'
  union
  select e.id
  from assistant.events as e
  where
    e.tenant_id = (select assistant.current_tenant())
    and e.user_id = :user_id
    and e.recurrence_rule is not null
)

select
  o.begins_at,
  o.begins_at + (e.end_datetime - e.start_datetime) as ends_at,
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
inner join assistant.users as u on e.tenant_id = u.tenant_id and e.user_id = u.id
cross join
  lateral assistant.occurrences(
    e.start_datetime,
    e.recurrence_rule,
    u.timezone,
    cast(:since as timestamptz) - coalesce(e.end_datetime - e.start_datetime, interval '0'),
    :until
  ) as o (begins_at)
where
  e.tenant_id = (select assistant.current_tenant())
  and e.id in (select w.id from own as w)
  and (o.begins_at >= :since or o.begins_at + (e.end_datetime - e.start_datetime) > :since)
  and e.status = :status                                   --?
  and (o.begins_at, e.id) > (:after_begins_at, :after_id)  --?
order by o.begins_at, e.id
limit :limit
