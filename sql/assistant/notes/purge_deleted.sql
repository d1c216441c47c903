-- Remove for good what was deleted of the notes before a time: a batch, to be repeated until it is
-- 0.
--
-- Workers may share the work: what one removes, the others leave out.
--
-- Without an order: with one, the view's barrier would have all of them read, sorted and locked.
-- The ids go into an array, so that the rows are found by their key, however the server estimates
-- their number.
-- returns: count
-- allow: partial-order: any batch will do, until nothing is left
-- param limit: 1..10000 = 1000
with
doomed as (
  select d.id
  from assistant.deletable_notes as d
  where
    d.tenant_id = (select assistant.current_tenant())
    and d.deleted_at < :before
  limit :limit  -- noqa: AM09
  for update skip locked
)

delete from assistant.deletable_notes as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = any(array(select o.id from doomed as o))
