-- The name behind an address. No encrypted value is read, so it can be cached.
-- returns: optional value
-- cache: 5m
-- param email: digest (tenant_id) as email
select c.name
from vault.customers as c
where c.tenant_id = :tenant_id and c.email_digest = any(:email)
order by c.id
limit 1
