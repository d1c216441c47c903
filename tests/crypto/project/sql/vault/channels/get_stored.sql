-- The token as it is stored.
-- returns: value
select c.access_token
from vault.channels as c
where c.tenant_id = :tenant_id and c.id = :id
