-- Dishes with those who cook them.
-- returns: many DishOfCooks
select
  d.id,
  c.id as "cooks[].id",
  c.mail as "cooks[].mail"
from dishes as d
left join cooks as c on c.dish_id = d.id
where d.id = any(:ids)
order by d.id, c.id
