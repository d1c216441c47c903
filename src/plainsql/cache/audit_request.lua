-- Asks for an audit, where none is under way.
--
-- KEYS[1]  the audit, as audit_report.lua has it
-- KEYS[2]  its last violations
-- ARGV[1]  the id
-- ARGV[2]  the rate
-- ARGV[3]  for how long hits are read again, in milliseconds
-- ARGV[4]  for how long the results are kept after that
--
-- Returns 0, or the rest of another one that is under way.

local now = math.floor(microseconds() / 1000)
local ends = redis.call('HGET', KEYS[1], 'until')
if ends and tonumber(ends) > now then
  return tonumber(ends) - now
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'rate', ARGV[2])
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3] + ARGV[4])
return 0
