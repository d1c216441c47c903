-- Delete notes that were soft-deleted more than so many days ago; return the number.
--
-- One batch: repeat it until it deletes none. Rows that another run has locked are skipped. The
-- audit log keeps the deleted rows.
--
-- Implementation: there is no order by, because with one the security barrier view would read, sort
-- and lock all rows. The ids go into an array, so that rows are found by primary key whatever
-- number the planner estimates.
-- returns: count
-- allow: partial-order: any batch will do, until nothing is left
-- param days: 0..36500 = 30
-- param limit: 1..10000 = 1000
with
doomed as (
  select d.id
  from assistant.deletable_notes as d
  where
    d.tenant_id = (select assistant.current_tenant())
    and d.deleted_at < now() - make_interval(days => :days)
  limit :limit  -- noqa: AM09
  for update skip locked
)

delete from assistant.deletable_notes as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = any(array(select o.id from doomed as o))
