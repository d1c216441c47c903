-- Insert an appointment as it was, even a cancelled one: for imports.
--
-- To book a visit for a lead, use ``book``.
-- returns: one Appointment
-- param notes: = null
-- param cancelled_at: = null
insert into realty.appointments as a (
  lead_id,
  conversation_id,
  project_id,
  property_id,
  scheduled_for,
  notes,
  cancelled_at
)
values (
  :lead_id,
  :conversation_id,
  :project_id,
  :property_id,
  :scheduled_for,
  :notes,
  :cancelled_at
)
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
