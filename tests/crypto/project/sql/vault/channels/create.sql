-- Create a channel; the caller passes its id, because encrypted values are bound to it.
-- returns: one Channel
-- param access_token: encrypted
-- param refresh_token: encrypted = null
-- column access_token: encrypted
-- column refresh_token: encrypted
insert into vault.channels as c (tenant_id, id, phone, access_token, refresh_token)
values (:tenant_id, :id, :phone, :access_token, :refresh_token)
returning
  c.tenant_id,
  c.id,
  c.phone,
  c.access_token,
  c.refresh_token
