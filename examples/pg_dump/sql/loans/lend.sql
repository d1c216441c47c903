-- Lend a copy; there is no row if the copy is out already.
-- returns: optional Loan
insert into loans as l (copy_id, member_id, lent_on, due_on)
values (:copy_id, :member_id, :today, :today::date + :days::integer)
on conflict (copy_id) where returned_on is null do nothing
returning
  l.id,
  l.due_on
