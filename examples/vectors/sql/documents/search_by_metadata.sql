-- Search documents by meaning among those whose metadata contains the given: {"kind": "guide",
-- "year": 2024}.
--
-- Containment holds for keys at any depth, and for a list if it has all the given elements.
--
-- Implementation: the planner chooses. If few documents fit, it finds them by the index on
-- metadata, and compares each: the result is exact. If many do, it may read the index on embeddings
-- until ``limit`` fit; plainsql's connections set hnsw.iterative_scan for that. A generic plan would
-- assume that 1 % fit, whatever the metadata. The planner's own estimate is rough: give a field that
-- most searches filter by a column of its own.
-- set: plan_cache_mode = force_custom_plan
-- returns: many Match
-- param limit: 1..200 = 10
with
nearest as (
  select
    d.id,
    d.embedding <=> :embedding as distance
  from documents as d
  where d.metadata @> :metadata
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
