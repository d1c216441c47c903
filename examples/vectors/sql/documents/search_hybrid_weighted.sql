-- Search documents by meaning and by words together, best match first, by the weighted sum of both
-- scores.
--
-- The words are read as a web search. ``candidates`` is the number of rows that each side may
-- contribute.
--
-- Each side's scores are stretched to 0 (its worst candidate) to 1 (its best), because distances
-- and word ranks have no common scale. A document that one side did not find has 0 there. Unlike
-- reciprocal ranks, a first place far ahead of the second counts for more.
-- returns: many HybridMatch
-- param limit: 1..200 = 10
-- param candidates: 1..1000 = 50
-- param meaning_weight: 0..1 = 0.5
-- param words_weight: 0..1 = 0.5
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

-- If all candidates of a side are equally good, each has the best score.
stretched as (
  select
    n.id,
    :meaning_weight::double precision * coalesce(
      (max(n.distance) over () - n.distance)
      / nullif(max(n.distance) over () - min(n.distance) over (), 0),
      1
    ) as score
  from nearest as n
  union all
  select
    w.id,
    :words_weight::double precision * coalesce(
      (w.relevance - min(w.relevance) over ())
      / nullif(max(w.relevance) over () - min(w.relevance) over (), 0),
      1
    ) as score
  from worded as w
),

scored as (
  select
    t.id,
    sum(t.score) as score
  from stretched as t
  group by t.id
  order by score desc, t.id asc
  limit :limit
)

select
  d.id,
  d.title,
  s.score
from scored as s
inner join documents as d on s.id = d.id
order by s.score desc, s.id asc
