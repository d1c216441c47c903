-- List appointments, cancelled ones too, newest first, of one lead if given.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
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
  true
  and a.lead_id = :lead_id                                   --?
  and (a.created_at, a.id) < (:after_created_at, :after_id)  --?
order by a.created_at desc, a.id desc
limit :limit
