-- Search documents by meaning, nearest first, with an index of half precision.
--
-- The index has half the size of ``search``'s. Its distances are rounded to about three digits, so
-- the distance that orders the result is computed from the full vectors.
--
-- Implementation: the index is on an expression, and serves only this same expression.
-- returns: many Match
-- param limit: 1..200 = 10
with
nearest as (
  select d.id
  from documents as d
  order by d.embedding::halfvec(128) <=> :embedding::vector::halfvec(128)
  limit :limit
)

select
  d.id,
  d.title,
  d.embedding <=> :embedding::vector as distance
from nearest as n
inner join documents as d on n.id = d.id
order by distance, d.id
