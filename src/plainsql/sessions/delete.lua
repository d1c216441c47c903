-- Ends a session.
--
-- KEYS     index, s:NAME, fence:NAME
-- ARGV     name
-- Returns 1 where it was there.

local ends = get(KEYS[1], KEYS[2], ARGV[1])
remove(KEYS[1], KEYS[2], ARGV[1])
redis.call('DEL', KEYS[3])
return ends and 1 or 0
