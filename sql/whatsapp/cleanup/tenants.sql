-- List the tenants with processed webhook events, so that each can be cleaned up.
--
-- It needs a role that row-level security does not restrict.
--
-- Implementation: the recursive query steps through the index from one tenant to the next, however
-- many events each tenant has.
-- returns: many value
-- allow: unbounded: one row for each tenant
-- column tenant_id: not null
with recursive
tenants as (
  (
    select w.tenant_id
    from whatsapp.webhook_events as w
    where w.processed_at is not null
    order by w.tenant_id
    limit 1
  )
  union all
  select (
    select w.tenant_id
    from whatsapp.webhook_events as w
    where
      w.processed_at is not null
      and w.tenant_id > t.tenant_id
    order by w.tenant_id
    limit 1
  ) as tenant_id
  from tenants as t
  where t.tenant_id is not null
)

select t.tenant_id
from tenants as t
where t.tenant_id is not null
