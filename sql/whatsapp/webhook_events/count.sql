-- Count the webhook events, since a time if given.
-- returns: value
select count(*) as total
from whatsapp.webhook_events as w
where
  w.tenant_id = (select whatsapp.current_tenant())
  and w.created_at >= :since  --?
