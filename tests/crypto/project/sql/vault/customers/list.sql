-- The customers with this telephone number, those of all tenants.
-- returns: many Customer
-- param phone: digest of phone () as phone
-- param limit: 1..100 = 10
-- column email: encrypted
-- column phone: encrypted
select
  c.tenant_id,
  c.id,
  c.name,
  c.email,
  c.phone
from vault.customers as c
where c.phone_digest = any(:phone)  --?
order by c.tenant_id, c.id
limit :limit
