-- Send a number to those who listen.
-- returns: value
select pg_notify('soak', :number::bigint::text)::text as sent
