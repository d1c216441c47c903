-- Requests an audit, if none is in progress.
--
-- KEYS[1]  the audit, described in audit_report.lua
-- KEYS[2]  its last violations
-- ARGV[1]  the id
-- ARGV[2]  the rate
-- ARGV[3]  for how long hits are read again, in milliseconds
-- ARGV[4]  for how long the results are kept after that
--
-- Returns 0, or the rest of the audit that is in progress.

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
