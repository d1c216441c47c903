-- Drop the users.
drop table assistant.users;
