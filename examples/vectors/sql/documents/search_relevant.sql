-- Search documents by meaning, and leave out those that are not relevant enough.
--
-- The relevance is 1 (the same direction) to 0 (the opposite), and 0.5 for a document that has
-- nothing to do with the question. Models use only a part of that range: look at the scores of
-- known pairs before you choose ``at_least``.
--
-- Implementation: the threshold is outside of the search by distance. The rows come in order, so
-- the nearest ``limit`` hold all of the result, and the index reads no rows beyond them.
-- returns: many RelevantMatch
-- param limit: 1..200 = 10
-- param at_least: 0..1 = 0.75
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
  1 - n.distance / 2 as relevance
from nearest as n
inner join documents as d on n.id = d.id
where 1 - n.distance / 2 >= :at_least::double precision
order by n.distance + 0, n.id
