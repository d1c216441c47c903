-- Dishes with what the query builds of their cooks.
-- returns: many Built
-- column some: elements not null
select
  d.id,
  d as whole,
  array_agg(c.name) as names,
  array_agg(c.mail) as mails,
  array_agg(c.name) filter (where c.id is not null) as some,
  array_agg(c) as cooks,
  to_jsonb(d) as stored,
  coalesce(
    jsonb_agg(jsonb_build_object('id', c.id, 'e-mail', c.mail) order by c.id) filter (where c.id is not null),
    '[]'
  ) as helpers,
  json_build_object('at', d.date, 'pair', json_build_array(d.id, d.name), 'by', json_object_agg(c.id, c.name))
    as summary,
  json_strip_nulls(json_build_object('id', d.id, 'class', d.class_)) as short
from dishes as d
left join cooks as c on c.dish_id = d.id
group by d.id
order by d.id
limit :limit
