-- The token that the call brings, after a while.
-- returns: value
select :token::bigint as token
from pg_sleep(:seconds)
