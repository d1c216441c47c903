-- The tenants with events that were worked off, so that each can be cleaned up: for a role that
-- row-level security does not bind.
--
-- From one tenant to the next by the index, however many events there are of each.
-- returns: many value
-- allow: unbounded: as many as there are tenants
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
