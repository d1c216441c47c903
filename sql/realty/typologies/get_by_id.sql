-- The typology with this id.
-- returns: optional Typology
select
  t.id,
  t.name,
  t.description,
  t.type,
  t.num_bedrooms,
  t.num_bathrooms,
  t.area_m2,
  t.created_at,
  t.updated_at
from realty.typologies as t
where t.id = :id
