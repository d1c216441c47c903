-- Search projects by meaning, nearest first, with the cosine distance: 0 (the same) to 2 (the
-- opposite).
--
-- Filters, each if given: a district (in any letter case), parking, and a home with a type, in a
-- price range and with a minimum number of bedrooms. One home must satisfy all conditions on homes.
--
-- Implementation: the inner query orders by distance alone, so that the HNSW index can deliver the
-- order: see properties/search.sql.
--
-- The one-row side of the left join keeps projects without homes as long as there is no condition
-- on homes: each such condition fails on nulls.
-- returns: many ProjectMatch
-- param limit: 1..200 = 5
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
  n.distance
from nearest as n
inner join realty.projects as pr on n.id = pr.id
order by n.distance + 0, n.id
