-- List the homes of a project with their typologies, newest or cheapest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id`` if the order is ``newest``, its
-- ``pricing`` and ``id`` if it is ``cheapest``.
--
-- Implementation: the last column of the order adds nothing: it keeps the list valid when the
-- optional lines before it are left out.
-- returns: many PropertyWithTypology
-- param limit: 1..200 = 50
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
  t.id as "typology.id",
  t.name as "typology.name",
  t.description as "typology.description",
  t.type as "typology.type",
  t.num_bedrooms as "typology.num_bedrooms",
  t.num_bathrooms as "typology.num_bathrooms",
  t.area_m2 as "typology.area_m2",
  t.created_at as "typology.created_at",
  t.updated_at as "typology.updated_at"
from realty.properties as p
inner join realty.typologies as t on p.typology_id = t.id
where
  p.project_id = :project_id
  and p.type = :type                                         --?
  and (p.created_at, p.id) < (:after_created_at, :after_id)  --?
  and (p.pricing, p.id) > (:after_pricing, :after_id)        --?
order by
  p.created_at desc, p.id desc,  --? order=newest
  p.pricing asc, p.id asc,       --? order=cheapest
  p.id asc
limit :limit
