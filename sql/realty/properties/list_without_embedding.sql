-- The properties whose embedding is still to be computed, each with the text to compute it from.
-- Oldest first. The next page comes after the last row's created_at and id; after set_embedding the
-- first page is a new one.
-- returns: many PropertyText
-- param limit: 1..200 = 50
-- column text: not null
select
  p.id,
  concat_ws('. ', p.title, p.type, p.description, p.view_type, pr.name, pr.district) as text,
  p.created_at
from realty.properties as p
inner join realty.projects as pr on p.project_id = pr.id
where
  p.embedding is null
  and (p.created_at, p.id) > (:after_created_at, :after_id)  --?
order by p.created_at, p.id
limit :limit
