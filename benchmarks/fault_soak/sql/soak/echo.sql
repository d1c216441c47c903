-- Return the token that the call passes.
-- returns: value
select :token::bigint as token
