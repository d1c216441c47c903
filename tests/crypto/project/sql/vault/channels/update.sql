-- Replace the credentials of a channel; values that are not given stay.
-- returns: count
-- param access_token: encrypted
-- param refresh_token: encrypted
update vault.channels as c
set
  access_token = :access_token,    --?
  refresh_token = :refresh_token,  --?
  phone = c.phone
where c.tenant_id = :tenant_id and c.id = :id
