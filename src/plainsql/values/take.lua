-- Reads a value; if there is none, takes the lease to load it.
--
-- KEYS     the value, the lease
-- ARGV     the digest of the type, the token, the life of the lease (ms)
-- Returns the value; 1 with the lease; 0 if another caller has it.

local value = read(KEYS[1], ARGV[1])
if value then
  return value
end
local holder = on(KEYS[2], 'GET')
if holder and holder ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) -- also for this very command, sent again by the client
return 1
