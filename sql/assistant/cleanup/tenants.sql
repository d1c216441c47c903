-- List the tenants, so that each can be cleaned up.
--
-- It needs a role that row-level security does not restrict. All rows of a tenant depend on its
-- users.
--
-- Implementation: the recursive query steps through the index from one tenant to the next, however
-- many users each tenant has.
-- returns: many value
-- allow: unbounded: one row for each tenant
-- allow: fans-out: it lists the tenants
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
