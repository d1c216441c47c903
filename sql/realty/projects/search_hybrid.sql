-- Search projects by meaning and by words together, best match first.
--
-- It has the filters of ``search``. The words are read as a web search: all must occur, "or"
-- between two, quotes for a phrase, a minus to exclude. ``candidates`` is the number of rows that
-- each side may contribute.
--
-- Implementation: each side ranks its own rows, and the score of a row is the sum of 1 / (60 +
-- rank) over the sides that found it. This is reciprocal rank fusion, with the k of Cormack, Clarke
-- and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
-- Methods", SIGIR 2009. Ranks need no common scale; distances and word ranks have none.
--
-- For the inner query by distance, see ``search``.
--
-- The one-row side of the left join keeps projects without homes as long as there is no condition
-- on homes: each such condition fails on nulls.
-- returns: many ProjectHybridMatch
-- param limit: 1..200 = 5
-- param candidates: 1..1000 = 50
-- column score: not null
-- cache: 1h
with
nearest as (
  select
    pr.id,
    pr.embedding <=> :embedding as distance
  from realty.projects as pr
  where
    pr.embedding is not null
    and lower(pr.district) = lower(:district)    --?
    and pr.includes_parking = :includes_parking  --?
    and exists (
      select 1
      from (values (1)) as one (anchor)
      left join realty.properties as p on pr.id = p.project_id
      left join realty.typologies as t on p.typology_id = t.id
      where
        one.anchor = 1
        and p.type = :type                   --?
        and p.pricing >= :min_pricing        --?
        and p.pricing <= :max_pricing        --?
        and t.num_bedrooms >= :min_bedrooms  --?
    )
  order by pr.embedding <=> :embedding
  limit :candidates
),

worded as (
  select
    pr.id,
    ts_rank_cd(pr.words, q.query) as relevance
  from websearch_to_tsquery('spanish', :words) as q (query)
  inner join realty.projects as pr on q.query @@ pr.words
  where
    true
    and lower(pr.district) = lower(:district)    --?
    and pr.includes_parking = :includes_parking  --?
    and exists (
      select 1
      from (values (1)) as one (anchor)
      left join realty.properties as p on pr.id = p.project_id
      left join realty.typologies as t on p.typology_id = t.id
      where
        one.anchor = 1
        and p.type = :type                   --?
        and p.pricing >= :min_pricing        --?
        and p.pricing <= :max_pricing        --?
        and t.num_bedrooms >= :min_bedrooms  --?
    )
  order by relevance desc, pr.id asc
  limit :candidates
),

ranked as (
  select
    n.id,
    row_number() over (order by n.distance + 0, n.id) as rank
  from nearest as n
  union all
  select
    w.id,
    row_number() over (order by w.relevance desc, w.id asc) as rank
  from worded as w
),

scored as (
  select
    r.id,
    sum(1.0::double precision / (60 + r.rank)) as score
  from ranked as r
  group by r.id
  order by score desc, r.id asc
  limit :limit
)

select
  pr.id,
  pr.name,
  pr.description,
  pr.district,
  pr.address,
  pr.reference,
  pr.details,
  pr.video_url,
  pr.brochure_url,
  pr.includes_parking,
  pr.has_showroom,
  pr.created_at,
  pr.updated_at,
  s.score
from scored as s
inner join realty.projects as pr on s.id = pr.id
order by s.score desc, s.id asc
