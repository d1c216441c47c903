-- Delete the documents that are nearly the same as one with a lower number.
--
-- It looks at the same documents as ``list_duplicates``: look at those first. Of a chain, in which
-- each is near the next and the ends are far from each other, only the first stays: choose a small
-- ``at_most``. Of a group with more members than ``neighbours`` some may stay: call it until it
-- returns 0.
-- returns: count
-- param neighbours: 1..50 = 5
-- param at_most: 0..2 = 0.02
delete from documents as d
where
  d.id > :after
  and d.id <= :up_to
  and exists (
    select
    from (
      select
        other.id,
        other.embedding <=> d.embedding as distance
      from documents as other
      order by other.embedding <=> d.embedding
      limit :neighbours + 1
    ) as n
    where n.id < d.id and n.distance <= :at_most::double precision
  )
