-- Reads all sessions of a user.
--
-- KEYS     index
-- ARGV     what stands before the names in s:NAME
-- Returns name, version, data, user, created and when it ends, for each.

on(KEYS[1], 'ZREMRANGEBYSCORE', '-inf', whole(now))
local found = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local ends, fields = get(KEYS[1], ARGV[1] .. name, name)
  if ends then
    table.insert(found, { name, fields[1], fields[2], fields[3], tonumber(fields[4]), ends })
  end
end
return found
