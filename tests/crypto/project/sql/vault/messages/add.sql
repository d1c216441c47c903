-- Add a message.
-- returns: value
insert into vault.messages as m (tenant_id, channel_id, body)
values (:tenant_id, :channel_id, :body)
returning m.id
