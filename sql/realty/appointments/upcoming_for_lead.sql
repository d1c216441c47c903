-- List a lead's future visits, soonest first.
-- returns: many Appointment
-- param limit: 1..200 = 50
select
  a.id,
  a.lead_id,
  a.conversation_id,
  a.project_id,
  a.property_id,
  a.scheduled_for,
  a.notes,
  a.cancelled_at,
  a.created_at
from realty.appointments as a
where
  a.lead_id = :lead_id
  and a.cancelled_at is null
  and a.scheduled_for >= now()
  and (a.scheduled_for, a.id) > (:after_scheduled_for, :after_id)  --?
order by a.scheduled_for, a.id
limit :limit
