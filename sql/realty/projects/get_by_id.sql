-- The project with this id.
-- returns: optional Project
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
  pr.updated_at
from realty.projects as pr
where pr.id = :id
