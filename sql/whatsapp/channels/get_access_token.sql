-- What a channel's requests to WhatsApp are signed with. Nowhere else is it read, so that no list,
-- log or cache has it by the way.
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
