-- Change the given columns of a channel, and leave the others.
--
-- To change its access token, use ``rotate_access_token``.
-- returns: optional Channel
update whatsapp.channels as c
set
  organization_id = :organization_id,            --?
  phone_number_id = :phone_number_id,            --?
  business_account_id = :business_account_id,    --?
  display_phone_number = :display_phone_number,  --?
  display_name = :display_name,                  --?
  status = :status,                              --?
  is_verified = :is_verified,                    --?
  messages_per_second = :messages_per_second,    --?
  updated_at = now()
where
  c.tenant_id = (select whatsapp.current_tenant())
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
