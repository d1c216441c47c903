-- List the first vectors, in order of id.
-- returns: many Numbered
-- param limit: 1..100000
select
  v.id,
  v.embedding
from bench.vectors as v
order by v.id
limit :limit
