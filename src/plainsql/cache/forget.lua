-- Drops an entry.
--
-- KEYS[1]  the entry

redis.call('DEL', KEYS[1])
return outcome(TAKEOVER)
