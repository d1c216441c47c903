-- Search documents by meaning, nearest first, with the cosine distance: 0 (the same) to 2 (the
-- opposite).
--
-- Implementation: the inner query orders by distance alone: an HNSW index delivers only that
-- order, bare and with a limit. Ties are broken outside, by distance + 0: the planner does not
-- take this expression for the index's order, so that it sorts.
-- returns: many Match
-- param limit: 1..200 = 10
with
nearest as (
  select
    d.id,
    d.embedding <=> :embedding as distance
  from documents as d
  order by d.embedding <=> :embedding
  limit :limit
)

select
  d.id,
  d.title,
  n.distance
from nearest as n
inner join documents as d on n.id = d.id
order by n.distance + 0, n.id
