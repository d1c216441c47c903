-- Write a token.
-- returns: count
insert into soak.tokens (token, set_id, set_size)
values (:token, :set_id, :set_size)
