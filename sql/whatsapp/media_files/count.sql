-- Count the media files, since a time if given.
-- returns: value
select count(*) as total
from whatsapp.media_files as f
where
  f.tenant_id = (select whatsapp.current_tenant())
  and f.created_at >= :since  --?
