-- List media files, newest first.
--
-- For the next page, pass the last row's ``created_at`` and ``id``.
-- returns: many MediaFile
-- param limit: 1..200 = 50
select
  f.id,
  f.tenant_id,
  f.whatsapp_media_id,
  f.file_name,
  f.file_type,
  f.file_size,
  f.storage_url,
  f.created_at,
  f.updated_at
from whatsapp.media_files as f
where
  f.tenant_id = (select whatsapp.current_tenant())
  and (f.created_at, f.id) < (:after_created_at, :after_id)  --?
order by f.created_at desc, f.id desc
limit :limit
