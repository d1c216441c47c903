-- Stores a loaded value if the lease is still the caller's, and releases it.
--
-- KEYS     the value, the lease
-- ARGV     the token, the digest and the value, the time to live (ms); with '' as value it only releases
-- Returns 1 if the lease was the caller's, else 0.

if not is_ours(KEYS[2], ARGV[1]) then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
redis.call('DEL', KEYS[2])
return 1
