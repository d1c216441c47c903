-- Drop the contacts.
drop table whatsapp.contacts;
