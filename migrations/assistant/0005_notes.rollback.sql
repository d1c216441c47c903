-- Drop the notes.
drop table assistant.notes;

drop function assistant.renew_note_reminder();

drop function assistant.set_note_language();
