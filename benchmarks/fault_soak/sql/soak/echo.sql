-- The token that the call brings.
-- returns: value
select :token::bigint as token
