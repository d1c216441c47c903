-- List projects, newest first, of one district if given (in any letter case).
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Project
-- param limit: 1..200 = 50
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
where
  true
  and lower(pr.district) = lower(:district)                    --?
  and (pr.created_at, pr.id) < (:after_created_at, :after_id)  --?
order by pr.created_at desc, pr.id desc
limit :limit
