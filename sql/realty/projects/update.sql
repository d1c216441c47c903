-- Change the given columns of a project, and leave the others.
--
-- The embedding stays that of the old text until ``set_embedding`` replaces it.
-- returns: optional Project
update realty.projects as pr
set
  name = :name,                          --?
  description = :description,            --?
  district = :district,                  --?
  address = :address,                    --?
  reference = :reference,                --?
  details = :details,                    --?
  video_url = :video_url,                --?
  brochure_url = :brochure_url,          --?
  includes_parking = :includes_parking,  --?
  has_showroom = :has_showroom,          --?
  updated_at = now()
where pr.id = :id
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
