-- List messages with the credentials with which they are sent.
-- returns: many Outgoing
-- column "channel.token": encrypted as vault.channels.access_token (tenant_id = tenant, id)
select
  m.id,
  m.body,
  c.tenant_id as "channel.tenant",
  c.id as "channel.id",
  c.access_token as "channel.token"
from vault.messages as m
left join vault.channels as c on m.tenant_id = c.tenant_id and m.channel_id = c.id
where m.tenant_id = :tenant_id
order by m.id
limit 100
