-- Documents that are nearly the same as one with a lower number, with that one and the distance.
--
-- It looks at the documents with the numbers after ``after`` up to ``up_to``, at the
-- ``neighbours`` nearest of each: look at a table of any size in ranges of numbers.
--
-- Implementation: the condition on the number is outside of the search by distance. Inside it
-- would have the first documents search the whole index, as hardly any other has a lower number.
-- returns: many Duplicate
-- param neighbours: 1..50 = 5
-- param at_most: 0..2 = 0.02
-- column original_id: not null
-- column distance: not null
select
  d.id,
  min(n.id) as original_id,
  min(n.distance) as distance
from documents as d
cross join lateral (
  select
    other.id,
    other.embedding <=> d.embedding as distance
  from documents as other
  order by other.embedding <=> d.embedding
  limit :neighbours + 1
) as n
where
  d.id > :after
  and d.id <= :up_to
  and n.id < d.id
  and n.distance <= :at_most::double precision
group by d.id
order by d.id
