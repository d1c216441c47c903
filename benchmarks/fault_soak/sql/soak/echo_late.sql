-- Return the token that the call passes, after a delay.
-- returns: value
select :token::bigint as token
from pg_sleep(:seconds)
