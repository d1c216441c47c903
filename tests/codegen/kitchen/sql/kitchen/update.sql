-- Change the given columns of a dish.
-- returns: count
update dishes as d
set
  stars = :stars,    --?
  class_ = :class_,  --?
  name = d.name
where d.id = :id
