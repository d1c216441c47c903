-- Search documents by weighted terms, best first.
--
-- The score is the inner product, as sparse models such as SPLADE are trained for it. It is 0 for
-- a document without a common term; such documents are left out.
--
-- Implementation: <#> is the negative inner product, so that the smallest is the best: the index
-- is read in ascending order.
-- returns: many SparseMatch
-- param limit: 1..200 = 10
with
nearest as (
  select
    d.id,
    d.terms <#> :terms as distance
  from documents as d
  order by d.terms <#> :terms
  limit :limit
)

select
  d.id,
  d.title,
  -n.distance as score
from nearest as n
inner join documents as d on n.id = d.id
where n.distance < 0
order by n.distance + 0, n.id
