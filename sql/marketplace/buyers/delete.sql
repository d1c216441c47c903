-- Remove a buyer with all that they said: conversations, messages. What they bought stays sold.
-- returns: count
delete from marketplace.buyers as b
where b.id = :id
