-- Set the embedding of a property's text; null removes it.
--
-- It has 1,536 numbers. Its length is any but zero, since nearness is the cosine's.
-- list_without_embedding lists a property whose embedding is null.
-- returns: count
update realty.properties as p
set embedding = :embedding
where p.id = :id
