-- List the projects without an embedding, oldest first, each with the text to compute it from.
--
-- For the next page, pass the last row's ``created_at`` and ``id``; after ``set_embedding``, the
-- first page has new rows.
--
-- In a transaction the rows belong to it until it ends: see properties/list_without_embedding.sql.
-- returns: many ProjectText
-- param limit: 1..200 = 50
-- column text: not null
select
  pr.id,
  concat_ws(
    '. ', pr.name, pr.district, pr.description, pr.details, pr.address, pr.reference
  ) as text,
  pr.created_at
from realty.projects as pr
where
  pr.embedding is null
  and (pr.created_at, pr.id) > (:after_created_at, :after_id)  --?
order by pr.created_at, pr.id
limit :limit
for no key update of pr skip locked
