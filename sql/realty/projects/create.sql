-- Create a project.
--
-- Its embedding is set later, by ``set_embedding``.
-- returns: one Project
-- param address: = null
-- param reference: = null
-- param details: = null
-- param video_url: = null
-- param brochure_url: = null
-- param includes_parking: = false
-- param has_showroom: = false
insert into realty.projects as pr (
  name,
  description,
  district,
  address,
  reference,
  details,
  video_url,
  brochure_url,
  includes_parking,
  has_showroom
)
values (
  :name,
  :description,
  :district,
  :address,
  :reference,
  :details,
  :video_url,
  :brochure_url,
  :includes_parking,
  :has_showroom
)
returning
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
  pr.updated_at
