-- The bookings of some guests, each with the last one of its guest.
-- returns: many GuestBooking
with last as (
  select b.guest_id, max(b.id) as id, array_agg(b.price) as prices
  from bookings as b
  group by b.guest_id
)
select
  g.id as guest,
  l.id as "last.id",
  l.prices as "last.prices"
from guests as g
left join last as l on l.guest_id = g.id
where
  g.id = any(:guests)
  and l.id < :before  --?
order by g.id
