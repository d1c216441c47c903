-- Count the open reminders.
-- returns: optional value
select count(*) from reminders where sent_at is null
