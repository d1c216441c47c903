-- List the passages nearest in meaning, nearest first, from some buckets.
-- returns: many Passage
-- param limit: 1..200 = 10
with
nearest as (
  select
    p.id,
    p.embedding <=> :embedding as distance
  from bench.passages as p
  where p.bucket < :below
  order by p.embedding <=> :embedding
  limit :limit
)

select n.*
from nearest as n
order by n.distance + 0, n.id
