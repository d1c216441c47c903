-- Put a stored value where it may not belong.
-- returns: count
update vault.channels as c
set access_token = :stored
where c.tenant_id = :tenant_id and c.id = :id
