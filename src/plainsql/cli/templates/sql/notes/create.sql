-- Write a note.
-- returns: one Note
insert into notes as n (text)
values (:text)
returning
  n.id,
  n.text,
  n.created_at
