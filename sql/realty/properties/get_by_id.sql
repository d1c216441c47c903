-- The property with this id.
-- returns: optional Property
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
  p.updated_at
from realty.properties as p
where p.id = :id
