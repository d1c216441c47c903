-- Drop the templates.
drop table whatsapp.message_templates;
