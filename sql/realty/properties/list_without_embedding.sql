-- List the properties without an embedding, oldest first, each with the text to compute it from.
--
-- For the next page, pass the last row's ``created_at`` and ``id``; after ``set_embedding``, the
-- first page has new rows.
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
