-- List typologies, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many Typology
-- param limit: 1..200 = 50
select
  t.id,
  t.name,
  t.description,
  t.type,
  t.num_bedrooms,
  t.num_bathrooms,
  t.area_m2,
  t.created_at,
  t.updated_at
from realty.typologies as t
where (t.created_at, t.id) < (:after_created_at, :after_id)  --?
order by t.created_at desc, t.id desc
limit :limit
