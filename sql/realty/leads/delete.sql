-- Delete a lead with their conversations, messages and appointments.
-- returns: count
delete from realty.leads as l
where l.id = :id
