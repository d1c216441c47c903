-- Replace the access token of a channel.
--
-- The new token is encrypted for this row of this tenant.
-- returns: optional Channel
-- param access_token: encrypted
update whatsapp.channels as c
set access_token = :access_token
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.tenant_id = :tenant_id
  and c.id = :id
returning
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
