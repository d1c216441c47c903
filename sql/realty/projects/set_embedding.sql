-- Keep the embedding of a project's text: 1,536 numbers, of any length but zero, since nearness is
-- the cosine's. Null forgets it: the project is then listed by list_without_embedding.
-- returns: count
update realty.projects as pr
set embedding = :embedding
where pr.id = :id
