-- Drop the messages and media files.
drop table whatsapp.messages;

drop table whatsapp.media_files;
