-- Remove a message. Its conversation's count and time stay.
-- returns: count
delete from marketplace.messages as m
where m.id = :id
