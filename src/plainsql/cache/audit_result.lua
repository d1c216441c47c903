-- Returns the findings of an audit, and may remove it.
--
-- KEYS[1]  the audit, described in audit_report.lua
-- KEYS[2]  its last violations
-- ARGV[1]  its id
-- ARGV[2]  '1': remove it
--
-- Returns its fields and its violations; nothing if it is gone.

if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return {}
end
local found = {redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1)}
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[1], KEYS[2])
end
return found
