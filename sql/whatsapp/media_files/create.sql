-- Create a media file.
--
-- A second file with the same ``whatsapp_media_id`` is refused (unique violation); ``save`` accepts
-- it.
-- returns: one MediaFile
-- param whatsapp_media_id: = null
-- param file_name: = null
-- param file_size: = null
-- param storage_url: = null
insert into whatsapp.media_files as f (
  whatsapp_media_id,
  file_name,
  file_type,
  file_size,
  storage_url
)
values (
  :whatsapp_media_id,
  :file_name,
  :file_type,
  :file_size,
  :storage_url
)
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
