-- Note that a copy is back. The count is 0 if it was not out.
-- returns: count
update loans as l
set returned_on = :today
where
  l.copy_id = :copy_id
  and l.returned_on is null
