-- List the notes, newest first, with a word if given.
-- returns: many Note
-- param limit: 1..200 = 50
select
  n.id,
  n.text,
  n.created_at
from notes as n
where
  true
  and n.text ilike '%' || :word || '%'  --?
order by n.created_at desc, n.id desc
limit :limit
