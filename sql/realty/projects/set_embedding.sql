-- Set the embedding of a project's text; null removes it.
--
-- It has 1,536 numbers. Its length is any but zero, since nearness is the cosine's.
-- list_without_embedding lists a project whose embedding is null.
-- returns: count
update realty.projects as pr
set embedding = :embedding
where pr.id = :id
