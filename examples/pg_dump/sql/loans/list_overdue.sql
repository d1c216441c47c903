-- The copies that are overdue on a day, the longest overdue first.
-- returns: many OverdueLoan
-- param limit: 1..500 = 100
select
  l.id,
  b.title,
  m.name as member,
  m.email,
  :today::date - l.due_on as days
from loans as l
inner join copies as c on c.id = l.copy_id
inner join books as b on b.id = c.book_id
inner join members as m on m.id = l.member_id
where
  l.returned_on is null
  and l.due_on < :today::date
order by l.due_on, l.id
limit :limit
