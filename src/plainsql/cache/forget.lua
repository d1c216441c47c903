-- Drops an entry.
--
-- KEYS[1]  the entry

return redis.call('DEL', KEYS[1])
