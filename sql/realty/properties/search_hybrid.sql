-- Search homes by meaning and by words together, best match first.
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
-- returns: many PropertyHybridMatch
-- param limit: 1..200 = 5
-- param candidates: 1..1000 = 50
-- column score: not null
-- cache: 1h
with
nearest as (
  select
    p.id,
    p.embedding <=> :embedding as distance
  from realty.properties as p
  inner join realty.projects as pr on p.project_id = pr.id
  inner join realty.typologies as t on p.typology_id = t.id
  where
    p.embedding is not null
    and lower(pr.district) = lower(:district)    --?
    and p.type = :type                           --?
    and p.pricing >= :min_pricing                --?
    and p.pricing <= :max_pricing                --?
    and t.num_bedrooms >= :min_bedrooms          --?
    and pr.includes_parking = :includes_parking  --?
  order by p.embedding <=> :embedding
  limit :candidates
),

worded as (
  select
    p.id,
    ts_rank_cd(p.words, q.query) as relevance
  from websearch_to_tsquery('spanish', :words) as q (query)
  inner join realty.properties as p on q.query @@ p.words
  inner join realty.projects as pr on p.project_id = pr.id
  inner join realty.typologies as t on p.typology_id = t.id
  where
    true
    and lower(pr.district) = lower(:district)    --?
    and p.type = :type                           --?
    and p.pricing >= :min_pricing                --?
    and p.pricing <= :max_pricing                --?
    and t.num_bedrooms >= :min_bedrooms          --?
    and pr.includes_parking = :includes_parking  --?
  order by relevance desc, p.id asc
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
  p.id,
  p.project_id,
  p.typology_id,
  p.title,
  p.type,
  p.description,
  p.pricing,
  p.view_type,
  p.floor_no,
  p.created_at,
  p.updated_at,
  pr.name as project_name,
  pr.district,
  t.id as "typology.id",
  t.name as "typology.name",
  t.description as "typology.description",
  t.type as "typology.type",
  t.num_bedrooms as "typology.num_bedrooms",
  t.num_bathrooms as "typology.num_bathrooms",
  t.area_m2 as "typology.area_m2",
  t.created_at as "typology.created_at",
  t.updated_at as "typology.updated_at",
  s.score
from scored as s
inner join realty.properties as p on s.id = p.id
inner join realty.projects as pr on p.project_id = pr.id
inner join realty.typologies as t on p.typology_id = t.id
order by s.score desc, s.id asc
