-- Makes the entries of all queries under a name invalid.
--
-- KEYS[1]  the hash of names
-- ARGV[1]  the name
-- ARGV[2]  a token: its new version

on(KEYS[1], 'HSETNX', '=', ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return outcome(TAKEOVER)
