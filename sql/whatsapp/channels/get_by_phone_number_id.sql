-- The channel of the ``phone_number_id`` in a webhook.
-- returns: optional Channel
select
  c.id,
  c.tenant_id,
  c.organization_id,
  c.phone_number_id,
  c.business_account_id,
  c.display_phone_number,
  c.display_name,
  c.status,
  c.is_verified,
  c.messages_per_second,
  c.created_at,
  c.updated_at
from whatsapp.channels as c
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.phone_number_id = :phone_number_id
