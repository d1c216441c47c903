-- List the dishes; in a docstring, """quotes""" and a back\slash stay as they are.
--
-- A second paragraph, with :colons and 'apostrophes'.
-- returns: many Dish
-- param limit: 1..200 = 50
-- param order: = 'newest'
select
  d.id,
  d.name,
  d.type,
  d.date,
  d.class_,
  d.stars
from dishes as d
where
  true
  and d.type = :type                      --?
  and d.stars >= :least                   --?
  and (d.date, d.id) < (:date, :id)       --?
  and d.name <> E'\\ """ \''
order by
  d.date desc,  --? order=newest
  d.name asc,   --? order=name
  d.id desc
limit :limit
