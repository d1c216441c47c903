-- Drop the channels.
drop table whatsapp.channels;
