-- Delete a message; its conversation's message count and last message time stay.
-- returns: count
delete from marketplace.messages as m
where m.id = :id
