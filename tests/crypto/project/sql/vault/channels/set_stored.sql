-- Write a stored value into a row to which it may not be bound.
-- returns: count
update vault.channels as c
set access_token = :stored
where c.tenant_id = :tenant_id and c.id = :id
