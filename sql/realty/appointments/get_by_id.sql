-- The appointment with this id.
-- returns: optional Appointment
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
where a.id = :id
