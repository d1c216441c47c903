-- Create the channel of a number; it is pending until ``verify``.
--
-- A second channel with the same ``phone_number_id`` is refused (unique violation).
--
-- The caller passes tenant and id, because the access token is encrypted for this row before it is
-- sent. The row-level security policy refuses any tenant but the current one.
-- returns: one Channel
-- param access_token: encrypted
-- param display_phone_number: = null
-- param display_name: = null
-- param messages_per_second: = 80
insert into whatsapp.channels as c (
  tenant_id,
  id,
  organization_id,
  phone_number_id,
  business_account_id,
  display_phone_number,
  display_name,
  messages_per_second,
  access_token
)
values (
  :tenant_id,
  :id,
  :organization_id,
  :phone_number_id,
  :business_account_id,
  :display_phone_number,
  :display_name,
  :messages_per_second,
  :access_token
)
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
