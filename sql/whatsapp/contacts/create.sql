-- Create a contact.
--
-- A second contact with the same number is refused (unique violation); ``save`` accepts it.
-- returns: one Contact
-- param display_name: = null
-- param profile_pic_url: = null
-- param last_seen: = null
-- param is_blocked: = false
insert into whatsapp.contacts as c (
  phone_number,
  display_name,
  profile_pic_url,
  last_seen,
  is_blocked
)
values (
  :phone_number,
  :display_name,
  :profile_pic_url,
  :last_seen,
  :is_blocked
)
returning
  c.id,
  c.tenant_id,
  c.phone_number,
  c.display_name,
  c.profile_pic_url,
  c.last_seen,
  c.is_blocked,
  c.created_at,
  c.updated_at
