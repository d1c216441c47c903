-- List properties, newest first, of one type if given.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Property
-- param limit: 1..200 = 50
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
where
  true
  and p.type = :type                                         --?
  and (p.created_at, p.id) < (:after_created_at, :after_id)  --?
order by p.created_at desc, p.id desc
limit :limit
