-- The accounts with what they have sent, in the order of their owners.
-- returns: many Account
-- param limit: 1..100 = 20
select
  a.id,
  a.owner,
  a.balance,
  coalesce(sum(t.amount), 0) as sent
from accounts as a
left join transfers as t on t.source_id = a.id
group by a.id
order by a.owner
limit :limit
