-- Releases a lease, if it is the caller's.
--
-- KEYS[1]  the lease
-- ARGV[1]  its token

if on(KEYS[1], 'GET') == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
