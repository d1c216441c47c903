-- Create a typology: a floor plan that many properties share.
-- returns: one Typology
-- param description: = null
-- param area_m2: = null
insert into realty.typologies as t (
  name,
  description,
  type,
  num_bedrooms,
  num_bathrooms,
  area_m2
)
values (
  :name,
  :description,
  :type,
  :num_bedrooms,
  :num_bathrooms,
  :area_m2
)
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
