-- The customer of a tenant with this address.
-- returns: optional Customer
-- param email: digest (tenant_id) as email
-- column email: encrypted
-- column phone: encrypted
select
  c.tenant_id,
  c.id,
  c.name,
  c.email,
  c.phone
from vault.customers as c
where c.tenant_id = :tenant_id and c.email_digest = any(:email)
order by c.id
limit 1
