-- Remove for good the messages that were deleted more than so many days ago, the oldest so many of
-- them; how many comes back. The audit log keeps what they were.
--
-- What another run has locked is left to it. The ids go into an array, so that the rows are found
-- by their key, however the server estimates their number.
-- returns: count
-- param days: 0..36500 = 30
-- param limit: 1..10000 = 1000
with
doomed as (
  select d.id
  from assistant.deletable_message_history as d
  where
    d.tenant_id = (select assistant.current_tenant())
    and d.deleted_at < now() - make_interval(days => :days)
  order by d.deleted_at, d.id
  limit :limit
  for update skip locked
)

delete from assistant.deletable_message_history as d
where
  d.tenant_id = (select assistant.current_tenant())
  and d.id = any(array(select o.id from doomed as o))
