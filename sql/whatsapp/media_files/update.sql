-- Change the given columns of a media file, and leave the others.
-- returns: optional MediaFile
update whatsapp.media_files as f
set
  whatsapp_media_id = :whatsapp_media_id,  --?
  file_name = :file_name,                  --?
  file_type = :file_type,                  --?
  file_size = :file_size,                  --?
  storage_url = :storage_url,              --?
  updated_at = now()
where
  f.tenant_id = (select whatsapp.current_tenant())
  and f.id = :id
returning
  f.id,
  f.tenant_id,
  f.whatsapp_media_id,
  f.file_name,
  f.file_type,
  f.file_size,
  f.storage_url,
  f.created_at,
  f.updated_at
