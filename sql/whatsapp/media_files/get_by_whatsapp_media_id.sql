-- The media file with this id at WhatsApp.
-- returns: optional MediaFile
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
  and f.whatsapp_media_id = :whatsapp_media_id
