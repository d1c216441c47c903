-- Deletes a value, and ends the lease of whoever loads it.
--
-- KEYS     the value, the lease
-- Returns 1 if there was a value, else 0.

redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
