-- List the texts of a section or a shelf nearest in meaning, nearest first: few rows, which are all compared.
-- returns: many Text
-- param limit: 1..200 = 10
-- set: enable_indexscan = off
with
nearest as (
  select
    t.id,
    t.body,
    t.section,
    t.shelf,
    t.embedding <=> :embedding as distance
  from bench.texts as t
  where
    true
    and t.section = :section  --?
    and t.shelf = :shelf      --?
  order by t.embedding <=> :embedding
  limit :limit
)

select n.*
from nearest as n
order by n.distance + 0, n.id
