-- Remove a conversation and its messages. One with appointments is refused (foreign key violation).
-- returns: count
delete from realty.conversations as c
where c.id = :id
