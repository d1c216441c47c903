-- Delete a buyer with their conversations and messages; what they bought stays sold.
-- returns: count
delete from marketplace.buyers as b
where b.id = :id
