-- Delete a conversation and its messages.
--
-- A conversation with appointments is refused (foreign key violation).
-- returns: count
delete from realty.conversations as c
where c.id = :id
