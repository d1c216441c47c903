-- Stores a value, and ends the lease of whoever loads it.
--
-- KEYS     the value, the lease
-- ARGV     the digest and the value, the time to live (ms)

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
