-- Cancel a visit, and keep the row.
--
-- No row is returned if there is no such visit or it is already cancelled.
-- returns: optional Appointment
update realty.appointments as a
set cancelled_at = now()
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
