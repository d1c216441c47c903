-- Search documents by meaning, nearest first, with an index of the first dimensions, and
-- re-ranking.
--
-- It needs a model that puts the most into its first dimensions, as Matryoshka models do. The
-- index contributes ``candidates`` rows, at least ``limit``, whose distances are computed from the
-- full vectors; the nearest ``limit`` of them are the result.
--
-- Raise ``candidates`` for a better recall.
-- returns: many Match
-- param limit: 1..200 = 10
-- param candidates: 1..2000 = 50
with
candidates as (
  select
    d.id,
    d.title,
    d.embedding
  from documents as d
  order by
    subvector(d.embedding, 1, 32)::vector(32)
    <=> subvector(:embedding::vector(128), 1, 32)::vector(32)
  limit greatest(:candidates::bigint, :limit::bigint)
)

select
  c.id,
  c.title,
  c.embedding <=> :embedding::vector(128) as distance
from candidates as c
order by distance, c.id
limit :limit
