-- Drop the webhook events.
drop table whatsapp.webhook_events;

drop function whatsapp.payload_digest(jsonb);
