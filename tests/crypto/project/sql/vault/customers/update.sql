-- Replace what is given of a customer.
-- returns: optional Customer
-- param email: encrypted, searchable (tenant_id) as email
-- param phone: encrypted, searchable () as phone
-- column email: encrypted
-- column phone: encrypted
update vault.customers as c
set
  email = :email,  --?
  phone = :phone,  --?
  name = c.name
where c.tenant_id = :tenant_id and c.id = :id
returning
  c.tenant_id,
  c.id,
  c.name,
  c.email,
  c.phone
