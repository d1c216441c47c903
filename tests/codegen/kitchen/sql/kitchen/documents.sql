-- JSON with types, and JSON without.
-- returns: many Documents
-- column payload: kitchen.Payload
-- column items: list[kitchen.Item]
select
  d.payload,
  d.items,
  d.payload as raw,
  d.recipe
from dishes as d
order by d.id
limit :limit
