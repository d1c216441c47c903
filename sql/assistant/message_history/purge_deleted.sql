-- Delete messages that were soft-deleted before a time; return the number.
--
-- One batch: repeat it until it returns 0. Workers can run it in parallel: each skips the rows that
-- another has locked.
--
-- Implementation: there is no order by, because with one the security barrier view would read, sort
-- and lock all rows. The ids go into an array, so that rows are found by primary key whatever
-- number the planner estimates.
-- returns: count
-- allow: partial-order: any batch will do, until nothing is left
-- param limit: 1..10000 = 1000
with
doomed as (
  select d.id
  from assistant.deletable_message_history as d
  where
    d.tenant_id = (select assistant.current_tenant())
    and d.deleted_at < :before
  limit :limit  -- noqa: AM09
  for update skip locked
)

delete from assistant.deletable_message_history as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = any(array(select o.id from doomed as o))
