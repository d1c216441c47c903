-- Set the embedding of a project's text; null removes it.
--
-- It has 1,536 numbers. Any length but zero is accepted, because the cosine distance does not
-- depend on it. ``list_without_embedding`` lists a project whose embedding is null.
-- returns: count
update realty.projects as pr
set embedding = :embedding
where pr.id = :id
