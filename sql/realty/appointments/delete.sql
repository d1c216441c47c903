-- Remove an appointment without a trace. One that will not take place is cancelled with cancel.
-- returns: count
delete from realty.appointments as a
where a.id = :id
