-- Set the embedding of a property's text; null removes it.
--
-- It has 1,536 numbers. Any length but zero is accepted, because the cosine distance does not
-- depend on it. ``list_without_embedding`` lists a property whose embedding is null.
-- returns: count
update realty.properties as p
set embedding = :embedding
where p.id = :id
