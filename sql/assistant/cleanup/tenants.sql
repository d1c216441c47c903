-- The tenants, so that each can be cleaned up: for a role that row-level security does not bind.
-- All that a tenant has hangs on its users.
--
-- From one tenant to the next by the index, however many users each has.
-- returns: many value
-- allow: unbounded: as many as there are tenants
-- column tenant_id: not null
with recursive
tenants as (
  (
    select u.tenant_id
    from assistant.users as u
    order by u.tenant_id
    limit 1
  )
  union all
  select (
    select u.tenant_id
    from assistant.users as u
    where u.tenant_id > t.tenant_id
    order by u.tenant_id
    limit 1
  ) as tenant_id
  from tenants as t
  where t.tenant_id is not null
)

select t.tenant_id
from tenants as t
where t.tenant_id is not null
