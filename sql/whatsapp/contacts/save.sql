-- Create the contact with this number, or update it with the given values; null leaves a value as
-- it is.
--
-- Any number of calls can race.
-- returns: one Contact
-- param display_name: = null
-- param profile_pic_url: = null
-- param last_seen: = null
insert into whatsapp.contacts as c (
  phone_number,
  display_name,
  profile_pic_url,
  last_seen
)
values (
  :phone_number,
  :display_name,
  :profile_pic_url,
  :last_seen
)
on conflict (tenant_id, phone_number) do update
  set
    display_name = coalesce(excluded.display_name, c.display_name),
    profile_pic_url = coalesce(excluded.profile_pic_url, c.profile_pic_url),
    last_seen = greatest(excluded.last_seen, c.last_seen)
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
