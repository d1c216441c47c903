-- The names of the dishes, without the unnamed classes and the plain ones if you like.
-- returns: many value
-- param classified: = true
select d.name
from dishes as d
where
  true
  and d.class_ is not null  --? classified
  and d.type <> 'plain'     --? festive
order by
  d.name,
  d.id
limit 100
