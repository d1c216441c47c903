-- The projects nearest in meaning, nearest first: cosine distance, 0 (the same) to 2 (the
-- opposite). If given, only those in a district (in any letter case), with parking or without, and
-- with a home of a type, in a price range, with at least so many bedrooms: one home that is all of
-- that.
--
-- The inner query orders by distance alone, so that it can come from the HNSW index: see
-- properties/search.sql.
--
-- The one-row side of the left join lets projects without homes through as long as nothing is asked
-- of the homes: each condition on them fails on nulls.
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
