-- Search documents by meaning, and choose such as differ from each other: maximal marginal
-- relevance.
--
-- The first document is the nearest. Each next one has the largest balance * relevance - (1 -
-- balance) * similarity, with its similarity to the most similar of those already chosen.
-- ``balance`` 1 is the plain search, 0 looks for difference only.
--
-- Implementation: each step of the recursion adds one of the ``candidates`` nearest documents, and
-- carries the numbers of the chosen in an array. It computes about candidates * limit² / 2
-- distances between documents: 2,500 for 50 candidates and 10 rows.
-- returns: many DiverseMatch
-- param limit: 1..50 = 10
-- param candidates: 1..500 = 50
-- param balance: 0..1 = 0.5
-- column place: not null
with recursive
nearest as (
  select
    d.id,
    d.title,
    d.embedding,
    d.embedding <=> :embedding as distance
  from documents as d
  order by d.embedding <=> :embedding
  limit greatest(:candidates::bigint, :limit::bigint)
),

chosen as (
  (
    select
      1 as place,
      n.id,
      array[n.id] as ids
    from nearest as n
    order by n.distance + 0, n.id
    limit 1
  )
  union all
  select
    c.place + 1 as place,
    best.id,
    c.ids || best.id as ids
  from chosen as c
  cross join lateral (
    select n.id
    from nearest as n
    where n.id <> all(c.ids)
    order by
      :balance::double precision * (1 - n.distance)
      - (1 - :balance::double precision) * (
        select max(1 - (n.embedding <=> s.embedding))
        from nearest as s
        where s.id = any(c.ids)
      ) desc,
      n.id asc
    limit 1
  ) as best
  where c.place < :limit
)

select
  n.id,
  n.title,
  n.distance,
  c.place
from chosen as c
inner join nearest as n on c.id = n.id
order by c.place
