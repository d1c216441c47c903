-- Create a customer. The address is unique among those of the tenant.
-- returns: one Customer
-- param email: encrypted, searchable (tenant_id) as email
-- param phone: encrypted, searchable () as phone = null
-- column email: encrypted
-- column phone: encrypted
insert into vault.customers as c (tenant_id, id, name, email, phone)
values (:tenant_id, :id, :name, :email, :phone)
returning
  c.tenant_id,
  c.id,
  c.name,
  c.email,
  c.phone
