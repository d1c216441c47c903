-- Move money from one account to another; the result is the new balance of the source.
-- returns: optional value
with source as (
  update accounts as s
  set balance = s.balance - :amount
  where s.id = :source_id
  returning s.balance
),

target as (
  update accounts as t
  set balance = t.balance + :amount
  where
    t.id = :target_id
    and t.id <> :source_id
  returning t.id
)

select source.balance
from source
cross join target
