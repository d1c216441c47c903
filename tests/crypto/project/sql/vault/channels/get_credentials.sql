-- The credentials of a channel, through a view.
-- returns: optional Credentials
-- column token: encrypted as vault.channels.access_token
select
  c.tenant_id,
  c.id,
  c.token
from vault.credentials as c
where c.tenant_id = :tenant_id and c.id = :id
