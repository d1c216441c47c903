-- Search documents by meaning and by words together, best match first, by reciprocal rank fusion.
--
-- The words are read as a web search: all must occur, "or" between two, quotes for a phrase, a
-- minus to exclude. ``candidates`` is the number of rows that each side may contribute, at least
-- ``limit``.
--
-- The score of a document is the sum of weight / (k + rank) over the sides that found it. Ranks
-- need no common scale; distances and word ranks have none. A small ``k`` favours the first ranks
-- of each side.
-- returns: many HybridMatch
-- param limit: 1..200 = 10
-- param candidates: 1..1000 = 50
-- param k: 1..1000 = 60
-- param meaning_weight: 0..1 = 1
-- param words_weight: 0..1 = 1
with
nearest as (
  select
    d.id,
    d.embedding <=> :embedding as distance
  from documents as d
  order by d.embedding <=> :embedding
  limit greatest(:candidates::bigint, :limit::bigint)
),

worded as (
  select
    d.id,
    ts_rank_cd(d.words, q.query) as relevance
  from websearch_to_tsquery('pg_catalog.english', :words) as q (query)
  inner join documents as d on q.query @@ d.words
  order by relevance desc, d.id asc
  limit greatest(:candidates::bigint, :limit::bigint)
),

ranked as (
  select
    n.id,
    :meaning_weight::double precision
    / (:k::integer + row_number() over (order by n.distance + 0, n.id)) as score
  from nearest as n
  union all
  select
    w.id,
    :words_weight::double precision
    / (:k::integer + row_number() over (order by w.relevance desc, w.id asc)) as score
  from worded as w
),

scored as (
  select
    r.id,
    sum(r.score) as score
  from ranked as r
  group by r.id
  order by score desc, r.id asc
  limit :limit
)

select
  d.id,
  d.title,
  s.score
from scored as s
inner join documents as d on s.id = d.id
order by s.score desc, s.id asc
