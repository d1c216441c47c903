-- Keep the embedding of a property's text: 1,536 numbers, of any length but zero, since nearness is
-- the cosine's. Null forgets it: the property is then listed by list_without_embedding.
-- returns: count
update realty.properties as p
set embedding = :embedding
where p.id = :id
