-- The channel with this id.
-- returns: optional Channel
-- column access_token: encrypted
-- column refresh_token: encrypted
select
  c.tenant_id,
  c.id,
  c.phone,
  c.access_token,
  c.refresh_token
from vault.channels as c
where c.tenant_id = :tenant_id and c.id = :id
