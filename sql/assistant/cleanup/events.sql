-- Remove for good the events that were deleted more than so many days ago, so many at
-- once; how many comes back. The audit log keeps what they were.
--
-- What another run has locked is left to it.
--
-- Without an order: with one, the view's barrier would have all of them read, sorted and locked.
-- The ids go into an array, so that the rows are found by their key, however the server estimates
-- their number.
-- returns: count
-- allow: partial-order: any batch will do, until nothing is left
-- param days: 0..36500 = 30
-- param limit: 1..10000 = 1000
with
doomed as (
  select d.id
  from assistant.deletable_events as d
  where
    d.tenant_id = (select assistant.current_tenant())
    and d.deleted_at < now() - make_interval(days => :days)
  limit :limit  -- noqa: AM09
  for update skip locked
)

delete from assistant.deletable_events as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = any(array(select o.id from doomed as o))
