-- Change the given columns of a typology, and leave the others.
-- returns: optional Typology
update realty.typologies as t
set
  name = :name,                    --?
  description = :description,      --?
  type = :type,                    --?
  num_bedrooms = :num_bedrooms,    --?
  num_bathrooms = :num_bathrooms,  --?
  area_m2 = :area_m2,              --?
  updated_at = now()
where t.id = :id
returning
  t.id,
  t.name,
  t.description,
  t.type,
  t.num_bedrooms,
  t.num_bathrooms,
  t.area_m2,
  t.created_at,
  t.updated_at
