-- Add cooks to the dishes with these names.
--
-- returns: many CookWithDish
insert into cooks as c (dish_id, name, mail)
select
  d.id,
  v.name,
  v.mail
from unnest(:cooks.dish::text[], :cooks.name::text[], :cooks.mail::email[]) as v (dish, name, mail)
inner join dishes as d on v.dish = d.name
where d.type = :type  --?
returning
  c.dish_id,
  c.name,
  c.mail
