-- The highest price that is not above a limit.
-- returns: value
select max(b.price) as price
from bookings as b
where b.price <= :most
