-- Book a visit to a home.
--
-- A second visit of the same lead at the same time is refused (unique violation of
-- appointments_one_per_lead_and_time_key). So is a home of another project, or a conversation of
-- another lead (foreign key violation).
--
-- A refusal is an error, not an empty result: a bot that overlooks a missing row would confirm a
-- visit that is not booked.
-- returns: one Appointment
-- param notes: = null
insert into realty.appointments as a (
  lead_id,
  conversation_id,
  project_id,
  property_id,
  scheduled_for,
  notes
)
values (
  :lead_id,
  :conversation_id,
  :project_id,
  :property_id,
  :scheduled_for,
  :notes
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
