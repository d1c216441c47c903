-- Save what a form gives of a dish.
-- returns: value
insert into dishes as d (
  class_,  --? :class_
  stars,   --? :stars
  name
)
values (
  :class_,  --? :class_
  :stars,   --? :stars
  :name
)
returning d.id
