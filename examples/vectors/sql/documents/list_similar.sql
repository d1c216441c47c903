-- More documents like this one, nearest first. There is none for a document that does not exist.
--
-- Implementation: the embedding stays in the database. The index serves the order by a distance to
-- the embedding of another row. It reads one row more than ``limit``, for the document itself.
-- returns: many Match
-- param limit: 1..200 = 10
with
given as materialized (
  select s.embedding
  from documents as s
  where s.id = :id
),

nearest as (
  select
    d.id,
    d.embedding <=> g.embedding as distance
  from given as g
  cross join lateral (
    select
      other.id,
      other.embedding
    from documents as other
    order by other.embedding <=> g.embedding
    limit :limit + 1
  ) as d
)

select
  d.id,
  d.title,
  n.distance
from nearest as n
inner join documents as d on n.id = d.id
where n.id <> :id
order by n.distance + 0, n.id
limit :limit
