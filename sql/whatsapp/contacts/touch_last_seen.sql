-- Set the time a contact was last seen: now, or the time given.
--
-- An earlier time than the known one changes nothing.
-- returns: optional Contact
-- param seen_at: = null
update whatsapp.contacts as c
set last_seen = greatest(c.last_seen, coalesce(:seen_at, now()))
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
