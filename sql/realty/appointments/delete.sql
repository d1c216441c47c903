-- Delete an appointment.
--
-- To keep a record of a visit that will not take place, use ``cancel``.
-- returns: count
delete from realty.appointments as a
where a.id = :id
