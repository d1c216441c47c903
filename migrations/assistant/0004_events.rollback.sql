-- Drop the events.
drop table assistant.events;

drop function assistant.renew_event_reminder();

drop function assistant.require_live_user();
