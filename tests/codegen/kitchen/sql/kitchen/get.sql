-- The dish with this id, with its first cook if it has one.
-- returns: optional DishWithCook
select
  d.id,
  d.name,
  c.id as "cook.id",
  c.name as "cook.name",
  c.mail as "cook.mail"
from dishes as d
left join cooks as c on d.id = c.dish_id
where d.id = :id
order by c.id
limit 1
