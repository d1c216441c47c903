-- Notify the listeners of a number.
-- returns: value
select pg_notify('soak', :number::bigint::text)::text as sent
