-- Move a visit to another time.
--
-- No row is returned if there is no such visit or it is cancelled. A time at which the lead has
-- another visit is refused (unique violation of appointments_one_per_lead_and_time_key).
-- returns: optional Appointment
update realty.appointments as a
set scheduled_for = :scheduled_for
where
  a.id = :id
  and a.cancelled_at is null
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
