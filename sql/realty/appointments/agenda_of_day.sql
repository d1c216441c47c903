-- List the visits of one day in a time zone ("America/Lima"), earliest first, with lead and home.
--
-- Implementation: the day's bounds are computed and the column is left bare, so that its index is
-- used. Days of 23 and 25 hours, on which clocks change, are right.
-- returns: many AgendaEntry
-- param limit: 1..1000 = 200
select
  a.id,
  a.scheduled_for,
  a.notes,
  a.lead_id,
  l.name as lead_name,
  l.phone as lead_phone,
  l.telegram_chat_id as lead_telegram_chat_id,
  a.conversation_id,
  a.project_id,
  pr.name as project_name,
  pr.district as project_district,
  pr.address as project_address,
  a.property_id,
  p.title as property_title
from realty.appointments as a
inner join realty.leads as l on a.lead_id = l.id
inner join realty.projects as pr on a.project_id = pr.id
inner join realty.properties as p on a.property_id = p.id
where
  a.cancelled_at is null
  and a.scheduled_for >= cast(cast(:day as date) as timestamp) at time zone :time_zone
  and a.scheduled_for < cast(cast(:day as date) + 1 as timestamp) at time zone :time_zone
  and a.project_id = :project_id                                   --?
  and (a.scheduled_for, a.id) > (:after_scheduled_for, :after_id)  --?
order by a.scheduled_for, a.id
limit :limit
