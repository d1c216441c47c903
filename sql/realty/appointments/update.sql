-- Change the given columns of an appointment, and leave the others.
--
-- Implementation: the last assignment changes nothing: it keeps the list valid when the optional
-- lines before it are left out.
-- returns: optional Appointment
update realty.appointments as a
set
  conversation_id = :conversation_id,  --?
  project_id = :project_id,            --?
  property_id = :property_id,          --?
  scheduled_for = :scheduled_for,      --?
  notes = :notes,                      --?
  cancelled_at = :cancelled_at,        --?
  created_at = a.created_at
where a.id = :id
returning
  a.id,
  a.lead_id,
  a.conversation_id,
  a.project_id,
  a.property_id,
  a.scheduled_for,
  a.notes,
  a.cancelled_at,
  a.created_at
