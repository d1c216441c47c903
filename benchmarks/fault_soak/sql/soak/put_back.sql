-- Write a token and return it.
-- returns: value
insert into soak.tokens (token, set_id, set_size)
values (:token, :set_id, :set_size)
returning token
