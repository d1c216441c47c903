-- Change the given columns of a contact, and leave the others.
-- returns: optional Contact
update whatsapp.contacts as c
set
  phone_number = :phone_number,        --?
  display_name = :display_name,        --?
  profile_pic_url = :profile_pic_url,  --?
  last_seen = :last_seen,              --?
  is_blocked = :is_blocked,            --?
  updated_at = now()
where
  c.tenant_id = (select whatsapp.current_tenant())
  and c.id = :id
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
