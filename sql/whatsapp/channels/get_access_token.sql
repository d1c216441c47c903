-- The access token that signs a channel's requests to WhatsApp.
--
-- No other query reads it, so that it gets into no list, log or cache by accident.
-- returns: optional ChannelToken
-- column access_token: encrypted
select
  c.id,
  c.tenant_id,
  c.access_token
from whatsapp.channels as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
