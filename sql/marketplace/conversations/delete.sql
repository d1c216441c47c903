-- Delete a conversation and its messages; the product stays as it is.
-- returns: count
delete from marketplace.conversations as c
where c.id = :id
