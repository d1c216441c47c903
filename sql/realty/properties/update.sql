-- Change the given columns of a property, and leave the others.
--
-- The embedding stays that of the old text until ``set_embedding`` replaces it.
-- returns: optional Property
update realty.properties as p
set
  project_id = :project_id,    --?
  typology_id = :typology_id,  --?
  title = :title,              --?
  type = :type,                --?
  description = :description,  --?
  pricing = :pricing,          --?
  view_type = :view_type,      --?
  floor_no = :floor_no,        --?
  updated_at = now()
where p.id = :id
returning
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
