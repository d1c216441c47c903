-- Write a dish.
-- returns: one Dish
-- param stars: 1..5 = null
insert into dishes as d (name, type, class_, stars, recipe, payload, items, tags, embedding)
values (:name, :type, :class_, :stars, :recipe, :payload, :items, :tags, :embedding)
returning d.id, d.name, d.type, d.date, d.class_, d.stars
