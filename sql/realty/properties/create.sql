-- Create a property of a project.
--
-- Its embedding is set later, by ``set_embedding``.
-- returns: one Property
-- param view_type: = null
-- param floor_no: = null
insert into realty.properties as p (
  project_id,
  typology_id,
  title,
  type,
  description,
  pricing,
  view_type,
  floor_no
)
values (
  :project_id,
  :typology_id,
  :title,
  :type,
  :description,
  :pricing,
  :view_type,
  :floor_no
)
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
