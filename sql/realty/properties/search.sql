-- Search homes by meaning, nearest first, with the cosine distance: 0 (the same) to 2 (the
-- opposite).
--
-- Filters, each if given: a district (in any letter case), a type, a price range, a minimum number
-- of bedrooms, and parking.
--
-- Implementation: the inner query orders by distance alone: the HNSW index can only deliver that
-- order, bare and with a limit. Ties are broken outside. The joins are on primary keys, so rows
-- stay in the index's order and the scan ends at the limit.
--
-- Filters are applied to the rows that the index yields, so the scan must be able to continue.
-- plainsql's connections set hnsw.iterative_scan; in psql: set hnsw.iterative_scan = strict_order.
--
-- The outer order is by distance + 0, an expression that the planner does not take for the index's
-- order, so that it sorts. With relaxed_order the index's own order is only approximate.
-- returns: many PropertyMatch
-- param limit: 1..200 = 5
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
  n.distance
from nearest as n
inner join realty.properties as p on n.id = p.id
inner join realty.projects as pr on p.project_id = pr.id
inner join realty.typologies as t on p.typology_id = t.id
order by n.distance + 0, n.id
