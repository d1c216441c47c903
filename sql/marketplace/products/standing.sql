-- Check whether a product can be reserved or sold now, and return the reason if it cannot.
--
-- The reason is its status, for whom it is reserved and since when, to whom it was sold and when.
-- The result is never cached.
-- returns: optional ProductStanding
select
  p.id,
  p.status,
  p.status = 'AVAILABLE' as can_be_reserved,
  p.status in ('AVAILABLE', 'RESERVED') as can_be_sold,
  p.reserved_for_id,
  kept.username as reserved_for_username,
  p.reserved_at,
  p.sold_to_id,
  bought.username as sold_to_username,
  p.sold_at,
  p.sold_price
from marketplace.products as p
left join marketplace.buyers as kept on p.reserved_for_id = kept.id
left join marketplace.buyers as bought on p.sold_to_id = bought.id
where p.id = :id
