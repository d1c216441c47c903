-- Remove a lead with all that was said and booked: conversations, messages, appointments.
-- returns: count
delete from realty.leads as l
where l.id = :id
