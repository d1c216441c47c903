-- Prolongs a lease that is still the caller's.
--
-- KEYS     the lease
-- ARGV     the token, the life of the lease (ms)
-- Returns 1 if it is the caller's, else 0.

if is_ours(KEYS[1], ARGV[1]) then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
