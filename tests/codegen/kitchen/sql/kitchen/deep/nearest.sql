-- A folder in a folder.
-- returns: many Near
select
  d.id,
  d.embedding,
  d.embedding <=> :embedding as distance
from dishes as d
where d.embedding is not null
order by d.embedding <=> :embedding
limit 3
