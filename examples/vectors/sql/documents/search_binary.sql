-- Search documents by meaning, nearest first, with an index of one bit a dimension, and
-- re-ranking.
--
-- The index is the smallest. A bit says little, so it contributes ``candidates`` rows, at least
-- ``limit``, whose distances are computed from the full vectors; the nearest ``limit`` of them are
-- the result.
--
-- Raise ``candidates`` for a better recall. They are read from the table, so each costs time.
--
-- Implementation: the index yields more rows than hnsw.ef_search, up to the limit, because
-- plainsql's connections set hnsw.iterative_scan.
-- returns: many Match
-- param limit: 1..200 = 10
-- param candidates: 1..2000 = 100
with
candidates as (
  select
    d.id,
    d.title,
    d.embedding
  from documents as d
  order by
    binary_quantize(d.embedding)::bit(128) <~> binary_quantize(:embedding::vector(128))::bit(128)
  limit greatest(:candidates::bigint, :limit::bigint)
)

select
  c.id,
  c.title,
  c.embedding <=> :embedding::vector(128) as distance
from candidates as c
order by distance, c.id
limit :limit
