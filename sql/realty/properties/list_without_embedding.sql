-- List the properties without an embedding, oldest first, each with the text to compute it from.
--
-- For the next page, pass the last row's ``created_at`` and ``id``; after ``set_embedding``, the
-- first page has new rows.
--
-- In a transaction the rows belong to it until it ends: another transaction skips them. So any
-- number of workers can run it, as ``plainsql.vector.fill`` does. A change of such a row waits; a
-- row that refers to it does not.
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
for no key update of p skip locked
