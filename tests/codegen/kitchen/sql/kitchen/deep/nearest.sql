-- A folder in a folder, and bounds of a parameter in a module without decimals.
-- returns: many Near
-- param farthest: 0.5..2
select
  d.id,
  d.embedding,
  d.embedding <=> :embedding as distance
from dishes as d
where d.embedding <=> :embedding < :farthest
order by d.embedding <=> :embedding
limit 3
