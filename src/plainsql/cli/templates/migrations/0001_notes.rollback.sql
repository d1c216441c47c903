-- Drop the notes.
drop table notes;
